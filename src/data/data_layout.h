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
  std::string file;  ///< its path in the package
  std::uint64_t offset;
  std::uint64_t bytes;
};

/// One weight of a data file, with the places of its parts.
struct PlacedWeight {
  const WeightRequest* request;
  std::vector<std::uint64_t> part_offsets;  ///< in `file`
  std::string file;
};

/// The files that the weights of a graph go to.
struct DataFiles {
  std::string name;              ///< the path, in the package, of the first; the others have _1, _2, … behind it
  std::uint64_t most_bytes = 0;  ///< of one file; 0: there is one, of any size
  std::vector<std::string> takes = {};  ///< graphs placed before, whose weights this one takes from where they lie
};

class DataLayout {
 public:
  /// Places the weights of `graph` that none of the graphs that it takes from has, in the order in which any graph
  /// first asked for their tensors: read in this order, tensors fill every file from its beginning to its end, also one
  /// that two files take in different forms. All parts of a weight go into one file. `requests` must outlive the
  /// layout. Throws Error(unsupported) for a weight that is larger than a file may be.
  void place(const Graph& graph, const WeightRequests& requests, const DataFiles& files);

  /// The place of an initializer of the graph of this name. Throws Error(internal) for one that was not placed.
  const DataPlace& at(const std::string& graph, const std::string& blob) const;

  /// The files that place() put weights of the graph of this name into, in order; not those that it takes some from.
  std::vector<std::string> files_of(const std::string& graph) const;

  const std::vector<PlacedWeight>& weights() const { return weights_; }

  /// What the parts of the weights take of `file`, in the order of their offsets.
  std::vector<DataPlace> places_in(const std::string& file) const;

  /// Name → size of every file that holds anything. Bytes between the weights are zero.
  const std::map<std::string, std::uint64_t>& files() const { return files_; }

 private:
  std::map<std::string, std::map<std::string, DataPlace>> places_;  // graph → blob → place
  std::map<std::string, std::vector<std::string>> files_of_;        // by graph
  std::vector<PlacedWeight> weights_;
  std::map<std::string, std::uint64_t> files_;
};

}  // namespace q3vl
