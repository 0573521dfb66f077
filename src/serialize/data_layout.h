// Where each encoded weight lies: files, offsets and sizes, known before a byte is written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "quant/weight_requests.h"

namespace q3vl {

/// A range of an external data file.
struct DataPlace {
  std::string file;  ///< a name beside the .onnx file
  std::uint64_t offset;
  std::uint64_t bytes;
};

/// One weight of a data file, with the places of its parts.
struct PlacedWeight {
  const WeightRequest* request;
  std::vector<std::uint64_t> part_offsets;  ///< in `file`
  std::string file;
};

class DataLayout {
 public:
  /// Places the weights of `graph` that no graph before it has placed into `file`, in the order in which any graph
  /// first asked for their tensors: read in this order, tensors fill every file from its beginning to its end, also one
  /// that two files take in different forms. All parts of a weight go into one file. `requests` must outlive the
  /// layout.
  void place(const Graph& graph, const WeightRequests& requests, const std::string& file);

  /// The place of a graph's initializer. Throws Error(internal) for one that was not placed.
  const DataPlace& at(const std::string& blob) const;

  const std::vector<PlacedWeight>& weights() const { return weights_; }

  /// What the parts of the weights take of `file`, in the order of their offsets.
  std::vector<DataPlace> places_in(const std::string& file) const;

  /// Name → size of every file that holds anything. Bytes between the weights are zero.
  const std::map<std::string, std::uint64_t>& files() const { return files_; }

 private:
  std::map<std::string, DataPlace> places_;
  std::vector<PlacedWeight> weights_;
  std::map<std::string, std::uint64_t> files_;
};

}  // namespace q3vl
