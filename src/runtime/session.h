// ONNX Runtime behind a small face: the shared library is opened at run time, so that nothing else needs it to start.
//
//   const OnnxRuntime runtime;
//   const Session session(runtime, "model.onnx");
//   NamedTensors outputs = session.run({{"x", x}});
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/host_tensor.h"

namespace q3vl {

/// The opened library. Sessions keep what they need of it alive.
class OnnxRuntime {
 public:
  /// Opens `library`, which stays loaded until the process ends; a second, different one is refused.
  /// Throws Error(usage) when it cannot be opened, is not ONNX Runtime or is older than the headers built with.
  explicit OnnxRuntime(const std::filesystem::path& library = default_library());

  /// The library that Q3VL_ONNXRUNTIME_LIBRARY of the environment names, or else a libonnxruntime.so.1 that lies with
  /// this code (base/companion_file.h), or else its bare name, for the loader to find.
  static std::filesystem::path default_library();

  /// "1.30.0"
  std::string version() const;

 private:
  friend class Session;
  struct Environment;
  std::shared_ptr<Environment> environment_;
};

/// How much ONNX Runtime rewrites a graph before it runs it.
enum class GraphOptimization { none, basic, extended, all };

struct SessionOptions {
  int intra_op_threads = 0;  ///< 0: one a physical core
  GraphOptimization optimization = GraphOptimization::all;
};

/// An input or output of a graph.
struct SessionValue {
  std::string name;
  DataType type;
  std::vector<std::variant<std::int64_t, std::string>> dims;  ///< a size, or its symbol ("" when it has none)
};

/// One buffer that a graph both reads (as `input`) and writes (as `output`): a key-value cache at its full length.
struct SharedTensor {
  std::string input;
  std::string output;
  HostTensor* tensor;
};

/// A tensor that stays where ONNX Runtime put it. Copies are the same tensor; one that holds nothing cannot be used.
class RuntimeTensor {
 public:
  RuntimeTensor() = default;
  /// A copy of `tensor`. An OnnxRuntime must be open.
  explicit RuntimeTensor(const HostTensor& tensor);

  /// A copy of it in plain memory.
  HostTensor to_host() const;

 private:
  friend class Session;
  struct Value;
  explicit RuntimeTensor(std::shared_ptr<const Value> value) : value_(std::move(value)) {}

  std::shared_ptr<const Value> value_;
};

/// A tensor that a graph reads as `input` and gives anew as `output`, which takes its place without being copied: a
/// key-value cache that grows.
struct RenewedTensor {
  std::string input;
  std::string output;
  RuntimeTensor* tensor;
};

class Session {
 public:
  /// Loads a model on the CPU. Throws Error(bad_input) with the file's name and ONNX Runtime's reason.
  Session(const OnnxRuntime& runtime, const std::filesystem::path& model, const SessionOptions& options = {});
  /// Loads a model from memory; its external data lie in `folder`, and `name` stands for it in messages.
  Session(const OnnxRuntime& runtime, const std::string& bytes, const std::filesystem::path& folder,
          const std::string& name, const SessionOptions& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  const std::vector<SessionValue>& inputs() const;
  const std::vector<SessionValue>& outputs() const;

  /// The input called `name`. Throws Error(bad_input) when there is none.
  const SessionValue& input(const std::string& name) const;

  /// Runs the graph and returns all outputs that are neither in `shared`, which are written in place, nor in `renewed`.
  /// Throws Error(bad_input) with the file's name and ONNX Runtime's reason; what is to be renewed is then as it was.
  NamedTensors run(const NamedTensors& inputs, std::span<const SharedTensor> shared = {},
                   std::span<const RenewedTensor> renewed = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace q3vl
