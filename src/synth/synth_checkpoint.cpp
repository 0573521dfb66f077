#include "synth/synth_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>
#include <tuple>

#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint_writing.h"
#include "contract/file_names.h"
#include "synth/random_values.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlockElements = 1 << 21;

std::uint64_t elements_of(const SynthTensor& tensor) {
  return static_cast<std::uint64_t>(element_count(tensor.shape));
}

std::uint64_t bytes_of(const SynthTensor& tensor) {
  return elements_of(tensor) * size_of(tensor.type);
}

struct Shard {
  std::string name;
  std::vector<SynthTensor> tensors;
};

/// Fills shard after shard in the order of the list, as Hugging Face does.
std::vector<Shard> split_into_shards(const std::vector<SynthTensor>& tensors, std::uint64_t max_shard_bytes) {
  std::vector<Shard> shards(1);
  std::uint64_t used = 0;
  for (const SynthTensor& tensor : tensors) {
    if (used > 0 && used + bytes_of(tensor) > max_shard_bytes) {
      shards.emplace_back();
      used = 0;
    }
    used += bytes_of(tensor);
    shards.back().tensors.push_back(tensor);
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shard_name(i, shards.size());
    // The order of the reference writer: widest type first, so that every tensor is aligned; then by name.
    const auto rank = [](const SynthTensor& t) {
      return std::tuple(-static_cast<int>(size_of(t.type)), safetensors_name(t.type), std::string_view(t.name));
    };
    std::sort(shards[i].tensors.begin(), shards[i].tensors.end(),
              [&](const SynthTensor& a, const SynthTensor& b) { return rank(a) < rank(b); });
  }
  return shards;
}

std::string header_of(const Shard& shard) {
  std::vector<SafetensorsEntry> entries;
  std::uint64_t offset = 0;
  for (const SynthTensor& tensor : shard.tensors) {
    const std::uint64_t end = offset + bytes_of(tensor);
    entries.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape, .begin = offset, .end = end});
    offset = end;
  }
  return safetensors_header(entries);
}

/// A part of a tensor that one thread makes and writes at once.
struct Block {
  const File* file;
  const SynthTensor* tensor;
  std::uint64_t first;  ///< element of the tensor
  std::uint64_t elements;
  std::uint64_t position;  ///< of that element in the file
};

void write_block(const Block& block, std::uint64_t seed) {
  const std::size_t bytes = block.elements * size_of(block.tensor->type);
  std::vector<std::byte> values(bytes);
  random_values(*block.tensor, seed, block.first, values);
  block.file->write_at(block.position, values);
}

void write_shards(const std::vector<Shard>& shards, const SynthOptions& options, const fs::path& folder) {
  std::vector<File> files;
  std::vector<Block> blocks;
  files.reserve(shards.size());  // blocks point into it
  for (const Shard& shard : shards) {
    const File& file = files.emplace_back(File::create(folder / shard.name));
    const std::string header = header_of(shard);
    file.write_at(0, std::as_bytes(std::span(header)));
    std::uint64_t position = header.size();
    for (const SynthTensor& tensor : shard.tensors) {
      const std::uint64_t elements = elements_of(tensor);
      for (std::uint64_t first = 0; first < elements && !options.sparse; first += kBlockElements)
        blocks.push_back({.file = &file,
                          .tensor = &tensor,
                          .first = first,
                          .elements = std::min(kBlockElements, elements - first),
                          .position = position + first * size_of(tensor.type)});
      position += bytes_of(tensor);
    }
    file.resize(position);
  }
  parallel_for(blocks.size(), options.threads, [&](std::size_t i) { write_block(blocks[i], options.seed); });
  for (File& file : files) file.finish();
}

std::string index_of(const std::vector<Shard>& shards, std::uint64_t total_size) {
  std::map<std::string, std::string> weight_map;
  for (const Shard& shard : shards)
    for (const SynthTensor& tensor : shard.tensors) weight_map[tensor.name] = shard.name;
  return index_text(weight_map, total_size);
}

void write_json(const fs::path& path, const OrderedJson& json) {
  write_text_file(path, json.dump(2) + "\n");
}

void write_image_settings(const SynthOptions& options, const fs::path& folder) {
  const OrderedJson image = preprocessor_config_json(options.model);
  const OrderedJson video = video_preprocessor_config_json(options.model);
  if (options.image_settings == ImageSettings::processor_config) {
    write_json(folder / "processor_config.json",
               {{"image_processor", image}, {"processor_class", "Qwen3VLProcessor"}, {"video_processor", video}});
  } else {
    write_json(folder / "preprocessor_config.json", image);
    write_json(folder / "video_preprocessor_config.json", video);
  }
}

SynthReport write_files(const SynthOptions& options, const fs::path& folder) {
  const SynthModel& model = options.model;
  write_json(folder / "config.json", config_json(model, options.type, options.rope_dialect));
  write_json(folder / "generation_config.json", generation_config_json(model));
  write_json(folder / "tokenizer.json", tokenizer_json(model));
  write_json(folder / "tokenizer_config.json", tokenizer_config_json(model));
  write_json(folder / "chat_template.json", {{"chat_template", chat_template()}});
  write_image_settings(options, folder);

  std::vector<SynthTensor> tensors = synthetic_tensors(model, options.type, options.distribution);
  if (options.edit_tensors) options.edit_tensors(tensors);
  SynthReport report{.tensors = tensors.size(), .shards = 0, .parameters = 0, .bytes = 0};
  for (const SynthTensor& tensor : tensors) {
    report.parameters += elements_of(tensor);
    report.bytes += bytes_of(tensor);
  }
  const std::vector<Shard> shards = split_into_shards(tensors, options.max_shard_bytes);
  report.shards = shards.size();
  write_shards(shards, options, folder);
  if (shards.size() > 1) write_text_file(folder / kIndexFile, index_of(shards, report.bytes));
  return report;
}

[[noreturn]] void refuse(const fs::path& path, std::string_view reason) {
  throw Error(ErrorKind::output, fmt::format("{}: {}", path.string(), reason));
}

}  // namespace

SynthReport write_synthetic_checkpoint(const SynthOptions& options, const fs::path& folder) {
  std::error_code failure;
  if (fs::exists(folder, failure)) {
    if (!fs::is_directory(folder)) refuse(folder, "exists and is not a folder");
    const bool empty = fs::is_empty(folder, failure);
    if (!failure && !empty) refuse(folder, "is not empty; choose a new folder or empty this one");
  }
  if (failure) refuse(folder, "cannot examine the folder: " + failure.message());

  fs::path partial = fs::absolute(folder).lexically_normal();
  if (!partial.has_filename()) partial = partial.parent_path();  // "out/"
  const fs::path target = partial;
  partial += ".partial";
  fs::create_directories(target.parent_path(), failure);
  if (failure) refuse(target.parent_path(), "cannot create the folder: " + failure.message());
  if (!fs::create_directory(partial, failure))
    refuse(partial, failure ? "cannot create the folder: " + failure.message()
                            : "exists already, left by a run that was killed or still at work; remove it");
  try {
    const SynthReport report = write_files(options, partial);
    fs::rename(partial, target, failure);
    if (failure) refuse(target, "cannot give the finished folder its name: " + failure.message());
    return report;
  } catch (...) {
    fs::remove_all(partial, failure);
    throw;
  }
}

}  // namespace q3vl
