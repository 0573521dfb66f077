// Strict reading of JSON: no duplicate keys, bounded depth and size, and typed access whose errors name the file, the
// key, what was found and what was expected.
//
//   const JsonObject text = config.object("text_config");
//   const std::int64_t heads = text.integer("num_attention_heads", 1, 1 << 16);
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

/// What a file may take of us, however it lies about itself: bytes, and values, which are the arrays, the objects and
/// what stands in them. A value costs up to 200 bytes of memory.
struct JsonLimits {
  std::uint64_t bytes;
  std::int64_t values;
};

// Far above every published model's.
inline constexpr JsonLimits kConfigJson{16U << 20, 1'000'000};
inline constexpr JsonLimits kIndexJson{64U << 20, 4'000'000};
inline constexpr JsonLimits kSafetensorsJson{100'000'000, 4'000'000};  ///< the header; so many bytes by the format
inline constexpr JsonLimits kTokenizerJson{128U << 20, 4'000'000};
inline constexpr JsonLimits kDataJson{256U << 20, 100'000'000};  ///< tokens and texts of the user's own
inline constexpr std::size_t kMaxJsonDepth = 64;

/// Parses `text`; `origin` (a path) opens every message and `kind` is the kind of error that a fault means.
/// Refused: anything that is not JSON in UTF-8 (comments and a byte order mark too), a key given twice, arrays and
/// objects deeper inside each other than kMaxJsonDepth, and more values than `limits` allow.
Json parse_json(const std::string& text, const std::string& origin, ErrorKind kind = ErrorKind::bad_input,
                const JsonLimits& limits = kConfigJson);

/// Reads and parses a file. Throws Error(bad_input).
Json read_json_file(const std::filesystem::path& path, const JsonLimits& limits = kConfigJson);

/// `parent[key]`, an empty object where there was nothing. nlohmann_json's own way, to index null, crashes without
/// memory.
OrderedJson& object_in(OrderedJson& parent, const std::string& key);

/// How messages show a value: "an object", "an array", or the value itself, shortened.
std::string describe(const Json& value);

/// A view of one JSON object. It refers to the parsed document, which must outlive it.
class JsonObject {
 public:
  /// Throws when `value` is not an object.
  JsonObject(const Json& value, std::string origin, std::string path = "", ErrorKind kind = ErrorKind::bad_input);

  bool has(std::string_view key) const;  ///< present and not null
  const Json& json() const { return *value_; }
  const std::string& origin() const { return origin_; }
  std::string path_of(std::string_view key) const;  ///< "text_config.head_dim"

  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most) const;
  double number(std::string_view key, double least, double most) const;
  bool boolean(std::string_view key) const;
  std::string string(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t least, std::int64_t most) const;
  std::vector<double> numbers(std::string_view key, double least, double most) const;
  JsonObject object(std::string_view key) const;

  /// Throws when the object has a key that is not in `known`.
  void expect_only(const std::vector<std::string_view>& known) const;

  /// Throws Error(kind) with "<origin>: <message>".
  [[noreturn]] void fail(const std::string& message) const;

 private:
  const Json& at(std::string_view key) const;
  [[noreturn]] void fail_type(std::string_view key, std::string_view expected) const;

  const Json* value_;
  std::string origin_;
  std::string path_;
  ErrorKind kind_;
};

}  // namespace q3vl
