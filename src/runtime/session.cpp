#include "runtime/session.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <set>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include "base/companion_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

DataType from_onnx(ONNXTensorElementDataType type, const std::string& origin) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return DataType::float32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return DataType::float16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      return DataType::bfloat16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return DataType::float64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return DataType::int64;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return DataType::int32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return DataType::int16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return DataType::int8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return DataType::uint8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return DataType::boolean;
    default:
      throw Error(ErrorKind::unsupported, fmt::format("{} has ONNX element type {}, which is not supported here",
                                                      origin, static_cast<int>(type)));
  }
}

ONNXTensorElementDataType to_onnx(DataType type) {
  switch (type) {
    case DataType::float32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DataType::float16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case DataType::bfloat16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
    case DataType::float64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
    case DataType::int64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case DataType::int32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case DataType::int16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16;
    case DataType::int8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case DataType::uint8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case DataType::boolean:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    case DataType::float8_e4m3:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN;
    case DataType::float8_e5m2:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2;
  }
  throw Error(ErrorKind::internal, "a data type without an ONNX number");
}

GraphOptimizationLevel to_onnx(GraphOptimization optimization) {
  switch (optimization) {
    case GraphOptimization::none:
      return ORT_DISABLE_ALL;
    case GraphOptimization::basic:
      return ORT_ENABLE_BASIC;
    case GraphOptimization::extended:
      return ORT_ENABLE_EXTENDED;
    case GraphOptimization::all:
      return ORT_ENABLE_ALL;
  }
  throw Error(ErrorKind::internal, "an unknown optimisation level");
}

/// Loads the library and hands its functions to the C++ wrapper. Returns its version.
std::string open_library(const std::filesystem::path& library) {
  static std::mutex mutex;
  static void* opened = nullptr;
  const std::lock_guard lock(mutex);
  // Never closed: ONNX Runtime has threads and globals that outlive any session.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): under the lock
    throw Error(
        ErrorKind::usage,
        fmt::format("ONNX Runtime cannot be opened: {}; --onnxruntime or Q3VL_ONNXRUNTIME_LIBRARY names one", reason));
  }
  using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
  const auto get_api_base = reinterpret_cast<GetApiBase>(dlsym(handle, "OrtGetApiBase"));
  if (get_api_base == nullptr)
    throw Error(ErrorKind::usage, fmt::format("{} is not ONNX Runtime: it has no OrtGetApiBase", library.string()));
  // The wrapper's functions live in one global, so there can be but one library.
  if (opened != nullptr && opened != handle)
    throw Error(ErrorKind::usage, fmt::format("{}: another ONNX Runtime is already open", library.string()));
  const OrtApiBase* base = get_api_base();
  const std::string version = base->GetVersionString();
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr)
    throw Error(ErrorKind::usage, fmt::format("{} is ONNX Runtime {}, expected 1.{} or newer", library.string(),
                                              version, ORT_API_VERSION));
  Ort::InitApi(api);
  opened = handle;
  return version;
}

SessionValue describe_value(const std::string& name, const Ort::TypeInfo& info, const std::string& origin) {
  const std::string what = fmt::format("{}: {}", origin, name);
  if (info.GetONNXType() != ONNX_TYPE_TENSOR)
    throw Error(ErrorKind::unsupported, fmt::format("{} is not a tensor", what));
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const std::vector<std::int64_t> sizes = tensor.GetShape();
  std::vector<const char*> symbols(sizes.size());
  tensor.GetSymbolicDimensions(symbols.data(), symbols.size());
  SessionValue value{name, from_onnx(tensor.GetElementType(), what), {}};
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (sizes[axis] >= 0) {
      value.dims.emplace_back(sizes[axis]);
    } else {
      value.dims.emplace_back(std::string(symbols[axis]));
    }
  }
  return value;
}

/// A view of `tensor` for ONNX Runtime. It writes only to those bound as outputs.
Ort::Value view(const HostTensor& tensor) {
  static const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  static std::byte nothing;  // an empty tensor must have an address all the same
  auto* data = tensor.bytes.empty() ? &nothing : const_cast<std::byte*>(tensor.bytes.data());
  return Ort::Value::CreateTensor(memory, data, tensor.bytes.size(), tensor.shape.data(), tensor.shape.size(),
                                  to_onnx(tensor.type));
}

HostTensor copy_of(const Ort::Value& value, const std::string& origin) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  HostTensor tensor = HostTensor::zeros(from_onnx(info.GetElementType(), origin), info.GetShape());
  if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), value.GetTensorRawData(), tensor.bytes.size());
  return tensor;
}

}  // namespace

struct OnnxRuntime::Environment {
  // What goes wrong is thrown with its reason; ONNX Runtime need not print it as well.
  Ort::Env env{ORT_LOGGING_LEVEL_FATAL, "qwen3vl"};
  std::string version;
};

OnnxRuntime::OnnxRuntime(const std::filesystem::path& library) {
  std::string version = open_library(library);
  environment_ = std::make_shared<Environment>();
  environment_->version = std::move(version);
}

std::filesystem::path OnnxRuntime::default_library() {
  const char* named = std::getenv("Q3VL_ONNXRUNTIME_LIBRARY");  // NOLINT(concurrency-mt-unsafe): nothing sets variables
  if (named != nullptr && *named != '\0') return named;
  constexpr const char* kLibrary = "libonnxruntime.so.1";
  const std::filesystem::path companion = companion_file(kLibrary);
  return companion.empty() ? kLibrary : companion;
}

std::string OnnxRuntime::version() const {
  return environment_->version;
}

struct RuntimeTensor::Value {
  Value(std::shared_ptr<void> its_environment, std::string its_origin, Ort::Value its_value)
      : environment(std::move(its_environment)), origin(std::move(its_origin)), value(std::move(its_value)) {}

  std::shared_ptr<void> environment;  // which must outlive it
  std::string origin;                 // for messages
  Ort::Value value;
};

RuntimeTensor::RuntimeTensor(const HostTensor& tensor) {
  const Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value =
      Ort::Value::CreateTensor(allocator, tensor.shape.data(), tensor.shape.size(), to_onnx(tensor.type));
  if (!tensor.bytes.empty()) std::memcpy(value.GetTensorMutableRawData(), tensor.bytes.data(), tensor.bytes.size());
  value_ = std::make_shared<Value>(nullptr, "a tensor", std::move(value));
}

HostTensor RuntimeTensor::to_host() const {
  return copy_of(value_->value, value_->origin);
}

struct Session::Impl {
  std::shared_ptr<void> environment;
  std::string path;
  Ort::Session session{nullptr};
  std::vector<SessionValue> inputs;
  std::vector<SessionValue> outputs;

  /// Makes the session by `create` and lists its inputs and outputs.
  template <typename Create>
  void load(const SessionOptions& options, const Create& create) {
    try {
      Ort::SessionOptions settings;
      settings.SetIntraOpNumThreads(options.intra_op_threads);
      settings.SetGraphOptimizationLevel(to_onnx(options.optimization));
      session = create(settings);
      const Ort::AllocatorWithDefaultOptions allocator;
      for (std::size_t i = 0; i < session.GetInputCount(); ++i)
        inputs.push_back(
            describe_value(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i), path));
      for (std::size_t i = 0; i < session.GetOutputCount(); ++i)
        outputs.push_back(
            describe_value(session.GetOutputNameAllocated(i, allocator).get(), session.GetOutputTypeInfo(i), path));
    } catch (const Ort::Exception& error) {
      throw Error(ErrorKind::bad_input, fmt::format("{}: ONNX Runtime cannot load it: {}", path, error.what()));
    }
  }

  /// Runs it; an output that is null is allocated.
  void run(const std::vector<const char*>& input_names, const std::vector<const OrtValue*>& input_values,
           const std::vector<const char*>& output_names, std::vector<Ort::Value>& output_values) {
    // The C interface takes inputs that are owned elsewhere; Ort::Value is one pointer, as the wrapper relies on too.
    static_assert(sizeof(Ort::Value) == sizeof(OrtValue*));
    try {
      Ort::ThrowOnError(Ort::GetApi().Run(session, nullptr, input_names.data(), input_values.data(),
                                          input_values.size(), output_names.data(), output_names.size(),
                                          reinterpret_cast<OrtValue**>(output_values.data())));
    } catch (const Ort::Exception& error) {
      throw Error(ErrorKind::bad_input, fmt::format("{}: ONNX Runtime cannot run it: {}", path, error.what()));
    }
  }
};

Session::Session(const OnnxRuntime& runtime, const std::filesystem::path& model, const SessionOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->environment = runtime.environment_;
  impl_->path = model.string();
  impl_->load(options, [&](Ort::SessionOptions& settings) {
    return Ort::Session(runtime.environment_->env, model.c_str(), settings);
  });
}

Session::Session(const OnnxRuntime& runtime, const std::string& bytes, const std::filesystem::path& folder,
                 const std::string& name, const SessionOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->environment = runtime.environment_;
  impl_->path = name;
  impl_->load(options, [&](Ort::SessionOptions& settings) {
    settings.AddConfigEntry("session.model_external_initializers_file_folder_path", folder.c_str());
    return Ort::Session(runtime.environment_->env, bytes.data(), bytes.size(), settings);
  });
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

const std::vector<SessionValue>& Session::inputs() const {
  return impl_->inputs;
}

const std::vector<SessionValue>& Session::outputs() const {
  return impl_->outputs;
}

const SessionValue& Session::input(const std::string& name) const {
  const auto found =
      std::find_if(impl_->inputs.begin(), impl_->inputs.end(), [&](const SessionValue& v) { return v.name == name; });
  if (found == impl_->inputs.end())
    throw Error(ErrorKind::bad_input, fmt::format("{}: the graph has no input {}", impl_->path, name));
  return *found;
}

NamedTensors Session::run(const NamedTensors& inputs, std::span<const SharedTensor> shared,
                          std::span<const RenewedTensor> renewed) const {
  std::vector<const char*> input_names, output_names;
  std::vector<const OrtValue*> input_values;
  std::vector<Ort::Value> views, output_values;
  views.reserve(inputs.size() + shared.size());
  const auto feed = [&](const std::string& name, const OrtValue* value) {
    input_names.push_back(name.c_str());
    input_values.push_back(value);
  };
  const auto ask_for = [&](const std::string& name, Ort::Value value) {
    output_names.push_back(name.c_str());
    output_values.push_back(std::move(value));  // where it is null, ONNX Runtime allocates it
  };
  for (const auto& [name, tensor] : inputs) feed(name, views.emplace_back(view(tensor)));
  for (const SharedTensor& both : shared) {
    feed(both.input, views.emplace_back(view(*both.tensor)));
    ask_for(both.output, view(*both.tensor));
  }
  for (const RenewedTensor& both : renewed) {
    feed(both.input, both.tensor->value_->value);
    ask_for(both.output, Ort::Value(nullptr));
  }
  const std::set<std::string_view> bound(output_names.begin(), output_names.end());
  for (const SessionValue& output : impl_->outputs)
    if (!bound.contains(output.name)) ask_for(output.name, Ort::Value(nullptr));
  impl_->run(input_names, input_values, output_names, output_values);

  std::size_t next = shared.size();
  for (const RenewedTensor& both : renewed)
    *both.tensor = RuntimeTensor(
        std::make_shared<RuntimeTensor::Value>(impl_->environment, impl_->path, std::move(output_values[next++])));
  NamedTensors results;
  for (; next < output_names.size(); ++next)
    results.emplace(output_names[next], copy_of(output_values[next], impl_->path));
  return results;
}

}  // namespace q3vl
