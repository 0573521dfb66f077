#include "serialize/data_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

// A page for what is worth mapping, as the ONNX documentation advises; a cache line for the rest.
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kCacheLine = 64;

std::uint64_t aligned(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t unit = bytes >= kPage ? kPage : kCacheLine;
  return (offset + unit - 1) / unit * unit;
}

}  // namespace

void DataLayout::place(const Graph& graph, const WeightRequests& requests, const std::string& file) {
  std::set<std::string> used;
  for (const WeightInitializer& weight : graph.weights()) used.insert(weight.blob);
  std::map<std::string, std::size_t> first_asked;  // tensor → place of its first request
  std::vector<const WeightRequest*> placed_here;
  for (const WeightRequest* request : requests.all()) {
    first_asked.try_emplace(request->name, first_asked.size());
    if (used.contains(request->blob(0)) && !places_.contains(request->blob(0))) placed_here.push_back(request);
  }
  std::ranges::stable_sort(placed_here, {}, [&](const WeightRequest* request) { return first_asked[request->name]; });
  for (const WeightRequest* request : placed_here) {
    PlacedWeight placed{.request = request, .part_offsets = {}, .file = file};
    for (std::size_t i = 0; i < request->parts.size(); ++i) {
      const std::uint64_t bytes = request->parts[i].row_bytes * static_cast<std::uint64_t>(request->rows);
      const std::uint64_t offset = aligned(files_[file], bytes);
      places_[request->blob(i)] = {file, offset, bytes};
      placed.part_offsets.push_back(offset);
      files_[file] = offset + bytes;
    }
    weights_.push_back(std::move(placed));
  }
}

const DataPlace& DataLayout::at(const std::string& blob) const {
  const auto found = places_.find(blob);
  if (found == places_.end())
    throw Error(ErrorKind::internal, fmt::format("the weight {} has no place in the package", blob));
  return found->second;
}

std::vector<DataPlace> DataLayout::places_in(const std::string& file) const {
  std::vector<DataPlace> places;
  for (const auto& [blob, place] : places_)
    if (place.file == file) places.push_back(place);
  std::ranges::sort(places, {}, &DataPlace::offset);
  return places;
}

}  // namespace q3vl
