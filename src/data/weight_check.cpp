#include "data/weight_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kGapBytes = 1U << 20;

/// How the bytes of one part of a weight differ.
struct Difference {
  std::uint64_t count = 0;
  std::uint64_t offset = 0;  ///< of the first, in the file
  int found = 0;
  int expected = 0;

  void note(std::uint64_t at, std::byte have, std::byte want) {
    if (count++ > 0 && at > offset) return;
    offset = at;
    found = std::to_integer<int>(have);
    expected = std::to_integer<int>(want);
  }

  std::string text() const {
    return fmt::format("{} {}, first at offset {} of the file: 0x{:02x}, expected 0x{:02x}", count,
                       count == 1 ? "byte differs" : "bytes differ", offset, found, expected);
  }
};

/// The files that are there and long enough to compare; `sentences` says what is wrong with the others.
std::map<std::string, File> open_files(const DataLayout& layout, const std::filesystem::path& folder,
                                       std::vector<std::string>& sentences) {
  std::map<std::string, File> files;
  for (const auto& [name, size] : layout.files()) {
    if (!std::filesystem::is_regular_file(folder / name)) {
      sentences.push_back(fmt::format("{}: is missing", name));
      continue;
    }
    File file = File::open(folder / name);
    const std::uint64_t found = file.size();
    if (found != size) sentences.push_back(fmt::format("{}: is {} bytes long, expected {}", name, found, size));
    if (found >= size) files.emplace(name, std::move(file));
  }
  return files;
}

/// Bytes that lie between the weights of `file`.
Difference gap_difference(const DataLayout& layout, const std::string& name, const File& file) {
  std::map<std::uint64_t, std::uint64_t> owned;  // begin → end
  for (const PlacedWeight& placed : layout.weights())
    for (std::size_t i = 0; placed.file == name && i < placed.part_offsets.size(); ++i)
      owned[placed.part_offsets[i]] = placed.part_offsets[i] + placed.request->parts[i].row_bytes *
                                                                   static_cast<std::uint64_t>(placed.request->rows);
  Difference difference;
  std::uint64_t reached = 0;
  std::vector<std::byte> bytes;
  for (const auto& [begin, end] : owned) {
    for (; reached < begin; reached += bytes.size()) {
      bytes.resize(std::min(begin - reached, kGapBytes));
      file.read_at(reached, bytes);
      for (std::size_t i = 0; i < bytes.size(); ++i)
        if (bytes[i] != std::byte{0}) difference.note(reached + i, bytes[i], std::byte{0});
    }
    reached = end;
  }
  return difference;
}

}  // namespace

std::vector<std::string> weight_differences(const DataLayout& layout, const WeightSource& source,
                                            const std::filesystem::path& folder, bool allow_nonfinite, int threads,
                                            const std::function<void(std::uint64_t done)>& progress) {
  std::vector<std::string> sentences;
  const std::map<std::string, File> files = open_files(layout, folder, sentences);
  std::mutex mutex;
  std::map<std::pair<const PlacedWeight*, std::size_t>, Difference> differences;
  const auto compare = [&](const EncodedRows& rows) {
    const auto file = files.find(rows.weight->file);
    if (file == files.end()) return;
    thread_local std::vector<std::byte> found;
    for (std::size_t part = 0; part < rows.parts.size(); ++part) {
      const std::span<const std::byte> expected = rows.parts[part];
      found.resize(expected.size());
      file->second.read_at(rows.offset(part), found);
      if (std::ranges::equal(found, expected)) continue;
      const std::lock_guard lock(mutex);
      Difference& difference = differences[{rows.weight, part}];
      for (std::size_t i = 0; i < found.size(); ++i)
        if (found[i] != expected[i]) difference.note(rows.offset(part) + i, found[i], expected[i]);
    }
  };
  const NonfiniteValues nonfinite = encode_weights(layout, source, threads, compare, progress);
  if (!nonfinite.empty() && !allow_nonfinite)
    sentences.push_back(fmt::format("the checkpoint's {}, which the export did not allow", describe(nonfinite)));
  for (const PlacedWeight& placed : layout.weights())
    for (std::size_t part = 0; part < placed.part_offsets.size(); ++part)
      if (const auto found = differences.find({&placed, part}); found != differences.end()) {
        const std::string& suffix = placed.request->parts[part].suffix;
        sentences.push_back(fmt::format("{}: {}{}: {}", placed.file, placed.request->name,
                                        suffix.empty() ? "" : " (" + suffix + ")", found->second.text()));
      }
  for (const auto& [name, file] : files)
    if (const Difference gaps = gap_difference(layout, name, file); gaps.count > 0)
      sentences.push_back(fmt::format("{}: between the weights, where all is zero: {}", name, gaps.text()));
  return sentences;
}

}  // namespace q3vl
