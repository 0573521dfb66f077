#include "base/json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/file.h"

namespace q3vl {
namespace {

/// Short enough for a message, with a whole character at the end.
std::string shortened(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t length = most - 3;
  while ((static_cast<unsigned char>(text[length]) & 0xc0U) == 0x80U) --length;
  return text.substr(0, length) + "...";
}

/// With U+FFFD for what is no UTF-8.
std::string valid_utf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

std::string excerpt(const Json& value) {
  return shortened(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

/// Reads a text before a value is made of it, and throws at the first fault. Not the parser's callback: with one, an
/// object takes time by all that stands beside it, so that a million of them take minutes.
class Checker : public nlohmann::json_sax<Json> {
 public:
  Checker(std::string origin, ErrorKind kind, std::int64_t most)
      : origin_(std::move(origin)), kind_(kind), most_(most), left_(most) {}

  bool null() override { return count(); }
  bool boolean(bool /*value*/) override { return count(); }
  bool number_integer(std::int64_t /*value*/) override { return count(); }
  bool number_unsigned(std::uint64_t /*value*/) override { return count(); }
  bool number_float(double /*value*/, const std::string& /*digits*/) override { return count(); }
  bool string(std::string& /*value*/) override { return count(); }
  bool binary(binary_t& /*value*/) override { return count(); }
  bool start_object(std::size_t /*size*/) override { return open(); }
  bool start_array(std::size_t /*size*/) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& key) override {
    if (!keys_.back().insert(key).second)
      fail(fmt::format("the key {} stands twice in one object", excerpt(Json(key))));
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*token*/, const Json::exception& error) override {
    std::string detail = error.what();
    if (const auto bracket = detail.find("] "); bracket != std::string::npos) detail = detail.substr(bracket + 2);
    fail(fmt::format("is not valid JSON: {}", shortened(valid_utf8(detail), 300)));
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(kind_, fmt::format("{}: {}", origin_, message));
  }

  bool count() {
    if (left_-- == 0) fail(fmt::format("holds more than {} values, the most that such a file may", most_));
    return true;
  }

  bool open() {
    if (keys_.size() == kMaxJsonDepth) fail(fmt::format("is nested deeper than {} levels", kMaxJsonDepth));
    keys_.emplace_back();
    return count();
  }

  bool close() {
    keys_.pop_back();
    return true;
  }

  std::string origin_;
  ErrorKind kind_;
  std::int64_t most_;
  std::int64_t left_;
  std::vector<std::set<std::string>> keys_;  // of the objects and arrays that are open; an array's stays empty
};

bool is_number_from(const Json& value, double least, double most) {
  return value.is_number() && value.get<double>() >= least && value.get<double>() <= most;
}

bool is_integer_from(const Json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return false;
  const auto number = value.get<std::int64_t>();
  return number >= least && number <= most;
}

}  // namespace

Json parse_json(const std::string& text, const std::string& origin, ErrorKind kind, const JsonLimits& limits) {
  // The parser would skip it; Python's and the tokenizers' readers refuse it.
  if (text.starts_with("\xef\xbb\xbf"))
    throw Error(kind, fmt::format("{}: begins with a byte order mark, expected UTF-8 without one", origin));
  // The parser would take a NUL for the end of the text.
  if (const auto nul = text.find('\0'); nul != std::string::npos)
    throw Error(kind, fmt::format("{}: is not valid JSON: byte {} is NUL", origin, nul));
  Checker checker(origin, kind, limits.values);
  Json::sax_parse(text, &checker);
  return Json::parse(text);
}

Json read_json_file(const std::filesystem::path& path, const JsonLimits& limits) {
  const std::string text = read_text_file(path, limits.bytes);
  refuse_lfs_pointer(path, text);
  return parse_json(text, path.string(), ErrorKind::bad_input, limits);
}

OrderedJson& object_in(OrderedJson& parent, const std::string& key) {
  OrderedJson& child = parent[key];
  if (child.is_null()) child = OrderedJson::object();
  return child;
}

std::string describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    default:
      return excerpt(value);
  }
}

JsonObject::JsonObject(const Json& value, std::string origin, std::string path, ErrorKind kind)
    : value_(&value), origin_(std::move(origin)), path_(std::move(path)), kind_(kind) {
  if (!value.is_object())
    fail(fmt::format("{} is {}, expected an object", path_.empty() ? "the document" : path_, describe(value)));
}

bool JsonObject::has(std::string_view key) const {
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

std::string JsonObject::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void JsonObject::fail(const std::string& message) const {
  throw Error(kind_, fmt::format("{}: {}", origin_, message));
}

void JsonObject::fail_type(std::string_view key, std::string_view expected) const {
  fail(fmt::format("{} is {}, expected {}", path_of(key), describe(at(key)), expected));
}

const Json& JsonObject::at(std::string_view key) const {
  const auto found = value_->find(key);
  if (found == value_->end()) fail(fmt::format("{} is missing", path_of(key)));
  return *found;
}

std::int64_t JsonObject::integer(std::string_view key, std::int64_t least, std::int64_t most) const {
  const Json& value = at(key);
  if (!is_integer_from(value, least, most)) fail_type(key, fmt::format("an integer from {} to {}", least, most));
  return value.get<std::int64_t>();
}

double JsonObject::number(std::string_view key, double least, double most) const {
  const Json& value = at(key);
  if (!is_number_from(value, least, most)) fail_type(key, fmt::format("a number from {} to {}", least, most));
  return value.get<double>();
}

bool JsonObject::boolean(std::string_view key) const {
  if (!at(key).is_boolean()) fail_type(key, "true or false");
  return at(key).get<bool>();
}

std::string JsonObject::string(std::string_view key) const {
  if (!at(key).is_string()) fail_type(key, "a string");
  return at(key).get<std::string>();
}

std::vector<std::int64_t> JsonObject::integers(std::string_view key, std::int64_t least, std::int64_t most) const {
  const std::string expected = fmt::format("an array of integers from {} to {}", least, most);
  const Json& value = at(key);
  if (!value.is_array()) fail_type(key, expected);
  std::vector<std::int64_t> numbers;
  for (const Json& item : value) {
    if (!is_integer_from(item, least, most))
      fail(fmt::format("{} holds {}, expected {}", path_of(key), describe(item), expected));
    numbers.push_back(item.get<std::int64_t>());
  }
  return numbers;
}

std::vector<double> JsonObject::numbers(std::string_view key, double least, double most) const {
  const std::string expected = fmt::format("an array of numbers from {} to {}", least, most);
  const Json& value = at(key);
  if (!value.is_array()) fail_type(key, expected);
  std::vector<double> numbers;
  for (const Json& item : value) {
    if (!is_number_from(item, least, most))
      fail(fmt::format("{} holds {}, expected {}", path_of(key), describe(item), expected));
    numbers.push_back(item.get<double>());
  }
  return numbers;
}

JsonObject JsonObject::object(std::string_view key) const {
  if (!at(key).is_object()) fail_type(key, "an object");
  return {at(key), origin_, path_of(key), kind_};
}

void JsonObject::expect_only(const std::vector<std::string_view>& known) const {
  for (const auto& item : value_->items()) {
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      fail(fmt::format("{} is not a known key; known here: {}", path_of(item.key()), fmt::join(known, ", ")));
  }
}

}  // namespace q3vl
