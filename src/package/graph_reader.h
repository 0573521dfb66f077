// A graph of a package, held against what a client demands of it: names, types, ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "onnx/model_summary.h"
#include "package/findings.h"

namespace q3vl {

/// A graph of a package; `file`, its path in the package, opens its findings.
struct GraphFile {
  std::string file;
  ModelSummary summary;
};

/// Reads the graph and looks for its external data: files beside it that hold what it says. What cannot be read, and
/// every fault, is a finding; nothing when the graph itself cannot be read.
std::optional<GraphFile> read_graph_file(const std::filesystem::path& package, const std::string& file,
                                         Findings& findings);

/// Adds what `error` says; its message names the path of a file, the finding the file's place in the package.
void add_error(const std::filesystem::path& package, const std::exception& error, Findings& findings);

/// "float32 [batch_size, 8]"
std::string to_text(const ValueInfo& value);

/// The size of a dimension, when it is a number.
std::optional<std::int64_t> static_size(const ValueInfo& value, std::size_t axis);
std::optional<std::int64_t> last_size(const ValueInfo& value);

/// One graph's values, each asked for once; what is left over is fed by nobody.
class GraphReader {
 public:
  /// `client` is who feeds the graph. All arguments must outlive the object.
  GraphReader(const GraphFile& graph, std::string client, Findings& findings)
      : graph_(&graph), client_(std::move(client)), findings_(&findings) {}

  const std::string& file() const { return graph_->file; }

  /// A value that must be there and of one of `types` and of `rank`; null, and a finding, otherwise.
  const ValueInfo* input(const std::string& name, const std::vector<DataType>& types, std::size_t rank);
  const ValueInfo* output(const std::string& name, const std::vector<DataType>& types, std::size_t rank);

  /// The same for an input that may be left out.
  const ValueInfo* optional_input(const std::string& name, const std::vector<DataType>& types, std::size_t rank);

  bool has_input(const std::string& name) const;

  /// Says which inputs nobody has asked for. Not after one was missing: it is likely to go by another name.
  void expect_all_fed();

  void add(const std::string& sentence) { findings_->add(graph_->file, sentence); }

 private:
  const ValueInfo* of_form(const ValueInfo& value, const std::vector<DataType>& types, std::size_t rank);

  const GraphFile* graph_;
  std::string client_;
  Findings* findings_;
  std::set<std::string> asked_;
  bool complete_ = true;
};

}  // namespace q3vl
