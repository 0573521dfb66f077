#include "calibration/calibration_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>

#include "checkpoint/checkpoint_writing.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "qwen3vl-export calibration 1";
constexpr const char* kSecondMoment = ".second_moment";
constexpr const char* kFeedback = ".feedback";

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw Error(ErrorKind::bad_input, fmt::format("{}: {}", path.string(), message));
}

std::string text_of(const fs::path& path, const SafetensorsMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) fail(path, fmt::format("its metadata lack \"{}\"; the calibration is damaged", key));
  return found->second;
}

template <typename Number>
Number number_of(const fs::path& path, const SafetensorsMetadata& metadata, const std::string& key) {
  const std::string text = text_of(path, metadata, key);
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0))
    fail(path, fmt::format("its metadata say that \"{}\" is \"{}\", expected a number above 0", key, text));
  return value;
}

/// The site of a tensor's name, or nothing when the name does not end in `kind`.
std::optional<std::string> site_of(const std::string& name, std::string_view kind) {
  if (!name.ends_with(kind)) return std::nullopt;
  return name.substr(0, name.size() - kind.size());
}

std::int64_t triangle(std::int64_t channels) {
  return channels * (channels - 1) / 2;
}

void expect_tensor(const fs::path& path, const TensorInfo& tensor, DataType type, const Shape& shape) {
  if (tensor.type != type || tensor.shape != shape)
    fail(path, fmt::format("the tensor \"{}\" is {} {}, expected {} {}", tensor.name, name_of(tensor.type),
                           to_string(tensor.shape), name_of(type), to_string(shape)));
}

template <typename Value>
std::vector<Value> read_values(const Checkpoint& file, const TensorInfo& tensor) {
  std::vector<Value> values(tensor.bytes / sizeof(Value));
  file.shards().front().read_once_at(tensor.offset, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace

Calibration Calibration::open(const fs::path& path) {
  const SafetensorsMetadata metadata = Checkpoint::read_metadata(path);
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat)
    fail(path, fmt::format("is not a calibration: its metadata say that \"format\" is {}, expected \"{}\"",
                           format == metadata.end() ? "missing" : fmt::format("\"{}\"", format->second), kFormat));
  Calibration calibration(Checkpoint::open_file(path), {.checkpoint = text_of(path, metadata, "checkpoint"),
                                                        .data = text_of(path, metadata, "data"),
                                                        .tokens = number_of<std::int64_t>(path, metadata, "tokens"),
                                                        .damping = number_of<double>(path, metadata, "damping")});
  for (const auto& [name, tensor] : calibration.file_.tensors()) {
    if (site_of(name, kSecondMoment)) {
      if (tensor.shape.size() != 1 || tensor.shape.front() > INT32_MAX)
        fail(path, fmt::format("the tensor \"{}\" has the shape {}, expected one axis", name, to_string(tensor.shape)));
      expect_tensor(path, tensor, DataType::float32, tensor.shape);
    } else if (const auto site = site_of(name, kFeedback)) {
      const TensorInfo* moments = calibration.file_.find(second_moment_name(*site));
      if (!moments || moments->shape.size() != 1)
        fail(path, fmt::format("holds the tensor \"{}\", but not \"{}\"", name, second_moment_name(*site)));
      if (moments->shape.front() <= INT32_MAX)
        expect_tensor(path, tensor, DataType::float16, {triangle(moments->shape.front())});
      calibration.has_feedback_ = true;
    } else {
      fail(path,
           fmt::format("holds the tensor \"{}\", expected names that end in {} or {}", name, kSecondMoment, kFeedback));
    }
  }
  return calibration;
}

const TensorInfo* Calibration::find(const std::string& weight, const char* kind) const {
  return file_.find(calibration_site(weight) + kind);
}

std::optional<std::vector<float>> Calibration::second_moment(const std::string& weight) const {
  const TensorInfo* tensor = find(weight, kSecondMoment);
  if (!tensor) return std::nullopt;
  std::vector<float> values = read_values<float>(file_, *tensor);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]) || values[i] < 0)
      fail(path(), fmt::format("the tensor \"{}\" has {} at {}, expected a mean of squares; the calibration is damaged",
                               tensor->name, values[i], i));
  return values;
}

std::optional<std::vector<std::uint16_t>> Calibration::feedback(const std::string& weight) const {
  const TensorInfo* tensor = find(weight, kFeedback);
  if (!tensor) return std::nullopt;
  return read_values<std::uint16_t>(file_, *tensor);
}

void Calibration::expect_made_from(const Checkpoint& checkpoint) const {
  const TextConfig config = read_model_config(checkpoint.folder()).text;
  const std::string expected = checkpoint_identity(config, checkpoint);
  if (metadata_.checkpoint != expected)
    fail(path(), fmt::format("was made from another checkpoint ({}) than {} ({})", metadata_.checkpoint,
                             checkpoint.folder().string(), expected));
  for (const CalibrationSite& site : calibration_sites(config, has_feedback_)) {
    const TensorInfo* moments = find(site.name, kSecondMoment);
    if (!moments || (site.feedback && !find(site.name, kFeedback)))
      fail(path(), fmt::format("lacks the findings on \"{}\"; the calibration is damaged", site.name));
    expect_tensor(path(), *moments, DataType::float32, {site.channels});
  }
}

std::string checkpoint_identity(const TextConfig& config, const Checkpoint& checkpoint) {
  std::vector<std::string> shards;
  for (const File& shard : checkpoint.shards())
    shards.push_back(fmt::format("{} of {} bytes", shard.path().filename().string(), shard.size()));
  return fmt::format(
      "{}: {} layers, hidden size {}, intermediate size {}, {} heads and {} key/value heads of {}, "
      "vocabulary {}, {} head; {}",
      config.module, config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads,
      config.num_key_value_heads, config.head_dim, config.vocab_size, config.tie_word_embeddings ? "tied" : "untied",
      fmt::join(shards, ", "));
}

std::vector<SafetensorsEntry> calibration_entries(const std::vector<CalibrationSite>& sites) {
  std::vector<SafetensorsEntry> entries;
  std::uint64_t end = 0;
  const auto add = [&](const std::string& name, DataType type, std::int64_t count) {
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(count) * size_of(type);
    entries.push_back({.name = name, .type = type, .shape = {count}, .begin = begin, .end = end});
  };
  for (const CalibrationSite& site : sites) add(second_moment_name(site.name), DataType::float32, site.channels);
  for (const CalibrationSite& site : sites)
    if (site.feedback) add(feedback_name(site.name), DataType::float16, triangle(site.channels));
  return entries;
}

std::string second_moment_name(const std::string& site) {
  return site + kSecondMoment;
}

std::string feedback_name(const std::string& site) {
  return site + kFeedback;
}

std::string calibration_header(const std::vector<SafetensorsEntry>& entries, const CalibrationMetadata& metadata) {
  return safetensors_header(entries, {{"format", kFormat},
                                      {"checkpoint", metadata.checkpoint},
                                      {"data", metadata.data},
                                      {"tokens", std::to_string(metadata.tokens)},
                                      {"damping", fmt::format("{}", metadata.damping)}});
}

}  // namespace q3vl
