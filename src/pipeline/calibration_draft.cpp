#include "pipeline/calibration_draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "calibration/calibration_data.h"
#include "checkpoint/checkpoint_writing.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStateFormat = "qwen3vl-export calibration state 1";

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw Error(ErrorKind::output, fmt::format("{}: {}", path.string(), message));
}

std::string hidden_name(std::size_t prompt) {
  return fmt::format("hidden.{}", prompt);
}

std::string deepstack_name(std::size_t prompt, std::size_t level) {
  return fmt::format("deepstack.{}.{}", prompt, level);
}

/// The metadata of a state; empty for any other file, or none.
SafetensorsMetadata state_metadata(const fs::path& path) {
  try {
    SafetensorsMetadata metadata = Checkpoint::read_metadata(path);
    if (metadata["format"] == kStateFormat) return metadata;
  } catch (const Error&) {  // missing or damaged: nothing to go on from
  }
  return {};
}

HostTensor read_tensor(const Checkpoint& file, const TensorInfo& info) {
  HostTensor tensor = HostTensor::zeros(info.type, info.shape);
  file.shards().front().read_once_at(info.offset, tensor.bytes);
  return tensor;
}

CalibrationState read_state(const fs::path& path, const std::string& layers_done) {
  const Checkpoint file = Checkpoint::open_file(path);
  CalibrationState state;
  std::from_chars(layers_done.data(), layers_done.data() + layers_done.size(), state.layers_done);
  while (const TensorInfo* hidden = file.find(hidden_name(state.hidden.size()))) {
    std::vector<HostTensor>& levels = state.deepstack.emplace_back();
    while (const TensorInfo* level = file.find(deepstack_name(state.hidden.size(), levels.size())))
      levels.push_back(read_tensor(file, *level));
    state.hidden.push_back(read_tensor(file, *hidden));
  }
  return state;
}

}  // namespace

CalibrationDraft::CalibrationDraft(const fs::path& output, const std::vector<CalibrationSite>& sites,
                                   const CalibrationMetadata& metadata)
    : output_(output), partial_(output.string() + ".partial"), state_path_(output.string() + ".state") {
  if (fs::exists(output)) fail(output, "exists already; remove it, or choose another name");
  const std::vector<SafetensorsEntry> entries = calibration_entries(sites);
  header_ = calibration_header(entries, metadata);
  for (const SafetensorsEntry& entry : entries) entries_.emplace(entry.name, entry);
  bytes_ = header_.size() + entries.back().end;
  Fingerprint fingerprint;
  fingerprint.add(std::as_bytes(std::span(header_)));
  request_ = fingerprint.text();
  file_.emplace(File::open_exclusively(partial_));
  try {
    begin();
  } catch (...) {
    if (!keep_) fs::remove(partial_);
    throw;
  }
}

void CalibrationDraft::begin() {
  keep_ = true;  // as long as it may be somebody else's
  const std::uint64_t size = file_->size();
  SafetensorsMetadata left = state_metadata(state_path_);
  if (size > 0 && left.empty()) {
    std::array<std::byte, 8> first{};
    file_->read_at(0, std::span(first).first(std::min<std::size_t>(size, first.size())));
    if (first != std::array<std::byte, 8>{})
      fail(partial_, "is in the way, and not left behind by this program; move it away");
  }
  if (size == bytes_ && left["request"] == request_) {
    state_ = read_state(state_path_, left["layers"]);
    return;
  }
  keep_ = false;
  if (!left.empty()) fs::remove(state_path_);
  file_->resize(0);
  file_->reserve(bytes_);
}

CalibrationDraft::~CalibrationDraft() {
  std::error_code ignored;  // there is nobody left to tell
  if (!keep_) fs::remove(partial_, ignored);
}

void CalibrationDraft::write(const SiteFindings& findings) const {
  const auto put = [&](const std::string& name, std::span<const std::byte> bytes) {
    const auto entry = entries_.find(name);
    if (entry == entries_.end() || entry->second.end - entry->second.begin != bytes.size())
      throw Error(ErrorKind::internal,
                  fmt::format("{} bytes of \"{}\" have no place in the calibration", bytes.size(), name));
    file_->write_once_at(header_.size() + entry->second.begin, bytes);
  };
  put(second_moment_name(findings.weight), std::as_bytes(std::span(findings.second_moment)));
  if (!findings.feedback.empty()) put(feedback_name(findings.weight), std::as_bytes(std::span(findings.feedback)));
}

void CalibrationDraft::save(const CalibrationState& state) {
  file_->sync();
  std::vector<SafetensorsEntry> entries;
  std::vector<const HostTensor*> tensors;
  const auto add = [&](std::string name, const HostTensor& tensor) {
    const std::uint64_t begin = entries.empty() ? 0 : entries.back().end;
    entries.push_back({.name = std::move(name),
                       .type = tensor.type,
                       .shape = tensor.shape,
                       .begin = begin,
                       .end = begin + tensor.bytes.size()});
    tensors.push_back(&tensor);
  };
  for (std::size_t i = 0; i < state.hidden.size(); ++i) {
    add(hidden_name(i), state.hidden[i]);
    for (std::size_t level = 0; level < state.deepstack[i].size(); ++level)
      add(deepstack_name(i, level), state.deepstack[i][level]);
  }
  const std::string header = safetensors_header(
      entries, {{"format", kStateFormat}, {"request", request_}, {"layers", std::to_string(state.layers_done)}});
  const fs::path fresh = state_path_.string() + ".new";
  fs::remove(fresh);  // of a run that was killed here
  File file = File::create(fresh);
  file.write_at(0, std::as_bytes(std::span(header)));
  for (std::size_t i = 0; i < entries.size(); ++i)
    file.write_once_at(header.size() + entries[i].begin, tensors[i]->bytes);
  file.finish();
  rename_durably(fresh, state_path_);
  keep_ = true;
}

void CalibrationDraft::commit() {
  file_->write_at(0, std::as_bytes(std::span(header_)));
  file_->sync();
  rename_durably(partial_, output_);
  keep_ = true;
  fs::remove(state_path_);
}

}  // namespace q3vl
