// Strict reading of JSON: no duplicate keys, bounded depth, and typed access whose errors name the file, the key,
// what was found and what was expected.
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

/// Parses `text`; `origin` (a path) opens every message and `kind` is the kind of error that a fault means.
/// Refused: anything that is not JSON (comments too), a key given twice, more than 64 arrays and objects inside each
/// other.
Json parse_json(const std::string& text, const std::string& origin, ErrorKind kind = ErrorKind::bad_input);

/// Reads and parses a file.
Json read_json_file(const std::filesystem::path& path, ErrorKind kind = ErrorKind::bad_input);

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
  double number(std::string_view key) const;
  bool boolean(std::string_view key) const;
  std::string string(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t least, std::int64_t most) const;
  std::vector<double> numbers(std::string_view key) const;
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
