#include "data/data_layout.h"

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

std::uint64_t part_bytes(const WeightRequest& request, std::size_t part) {
  return request.parts[part].row_bytes * static_cast<std::uint64_t>(request.rows);
}

/// Where a file ends that has all parts of the weight behind its first `offset` bytes.
std::uint64_t end_of(const WeightRequest& request, std::uint64_t offset) {
  for (std::size_t i = 0; i < request.parts.size(); ++i)
    offset = aligned(offset, part_bytes(request, i)) + part_bytes(request, i);
  return offset;
}

}  // namespace

void DataLayout::place(const Graph& graph, const WeightRequests& requests, const DataFiles& files) {
  std::map<std::string, DataPlace>& mine = places_[graph.name()];
  for (const std::string& other : files.takes) mine.insert(places_[other].begin(), places_[other].end());
  std::set<std::string> used;
  for (const WeightInitializer& weight : graph.weights()) used.insert(weight.blob);
  std::map<std::string, std::size_t> first_asked;  // tensor → place of its first request
  std::vector<const WeightRequest*> placed_here;
  for (const WeightRequest* request : requests.all()) {
    first_asked.try_emplace(request->name, first_asked.size());
    if (used.contains(request->blob(0)) && !mine.contains(request->blob(0))) placed_here.push_back(request);
  }
  std::ranges::stable_sort(placed_here, {}, [&](const WeightRequest* request) { return first_asked[request->name]; });
  std::string file = files.name;
  std::vector<std::string>& names = files_of_[graph.name()];
  for (const WeightRequest* request : placed_here) {
    if (files.most_bytes != 0 && end_of(*request, files_[file]) > files.most_bytes) {
      file = fmt::format("{}_{}", files.name, names.size());
      if (end_of(*request, 0) > files.most_bytes)
        throw Error(ErrorKind::unsupported,
                    fmt::format("{} takes {} bytes in {}, but a file of {} holds {} at most, and a weight cannot be "
                                "divided; choose a recipe with smaller weights, or another --layout",
                                request->name, end_of(*request, 0), to_string(request->encoding), files.name,
                                files.most_bytes));
    }
    if (names.empty() || names.back() != file) names.push_back(file);
    PlacedWeight placed{.request = request, .part_offsets = {}, .file = file};
    for (std::size_t i = 0; i < request->parts.size(); ++i) {
      const std::uint64_t offset = aligned(files_[file], part_bytes(*request, i));
      mine[request->blob(i)] = {file, offset, part_bytes(*request, i)};
      placed.part_offsets.push_back(offset);
      files_[file] = offset + part_bytes(*request, i);
    }
    weights_.push_back(std::move(placed));
  }
}

const DataPlace& DataLayout::at(const std::string& graph, const std::string& blob) const {
  if (const auto places = places_.find(graph); places != places_.end())
    if (const auto found = places->second.find(blob); found != places->second.end()) return found->second;
  throw Error(ErrorKind::internal, fmt::format("the weight {} of {} has no place in the package", blob, graph));
}

std::vector<std::string> DataLayout::files_of(const std::string& graph) const {
  const auto found = files_of_.find(graph);
  return found == files_of_.end() ? std::vector<std::string>() : found->second;
}

std::vector<DataPlace> DataLayout::places_in(const std::string& file) const {
  std::vector<DataPlace> places;
  for (const PlacedWeight& weight : weights_)
    if (weight.file == file)
      for (std::size_t i = 0; i < weight.part_offsets.size(); ++i)
        places.push_back({file, weight.part_offsets[i], part_bytes(*weight.request, i)});
  std::ranges::sort(places, {}, &DataPlace::offset);
  return places;
}

}  // namespace q3vl
