#include "base/json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/file.h"

namespace q3vl {
namespace {

constexpr int kMaxDepth = 64;

std::string excerpt(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  std::size_t length = 57;
  while ((static_cast<unsigned char>(text[length]) & 0xc0U) == 0x80U) --length;  // a character is not cut in two
  return text.substr(0, length) + "...";
}

bool is_integer_from(const Json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return false;
  const auto number = value.get<std::int64_t>();
  return number >= least && number <= most;
}

}  // namespace

Json parse_json(const std::string& text, const std::string& origin, ErrorKind kind) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    const bool opens = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth)
      throw Error(kind, fmt::format("{}: is nested deeper than {} levels", origin, kMaxDepth));
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw Error(kind, fmt::format("{}: the key {} stands twice in one object", origin, excerpt(parsed)));
    return true;
  };
  // The parser would take a NUL for the end of the text.
  if (const auto nul = text.find('\0'); nul != std::string::npos)
    throw Error(kind, fmt::format("{}: is not valid JSON: byte {} is NUL", origin, nul));
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {
    std::string detail = error.what();
    if (const auto bracket = detail.find("] "); bracket != std::string::npos) detail = detail.substr(bracket + 2);
    throw Error(kind, fmt::format("{}: is not valid JSON: {}", origin, detail));
  }
}

Json read_json_file(const std::filesystem::path& path, ErrorKind kind) {
  return parse_json(read_text_file(path), path.string(), kind);
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

double JsonObject::number(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) fail_type(key, "a finite number");
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

std::vector<double> JsonObject::numbers(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_array()) fail_type(key, "an array of numbers");
  std::vector<double> numbers;
  for (const Json& item : value) {
    if (!item.is_number()) fail(fmt::format("{} holds {}, expected numbers", path_of(key), describe(item)));
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
