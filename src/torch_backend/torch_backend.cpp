// The entry of qwen3vl-export-torch.so.
#include "backend/tensor_backend.h"
#include "tensors/shared_work.h"
#include "torch_backend/calibration_run.h"
#include "torch_backend/reference_run.h"

namespace q3vl {
namespace {

class TorchBackend : public TensorBackend {
 public:
  std::vector<ReferenceResult> run_reference(const ReferenceRequest& request) const override {
    const ComputeThreads threads(request.threads);
    return q3vl::run_reference(request);
  }
  HostTensor image_features(const ModelConfig& config, const std::vector<Patches>& pictures,
                            const ReferenceWeights& weights, int threads) const override {
    const ComputeThreads compute_threads(threads);
    return q3vl::image_features(config, pictures, weights);
  }
  void run_calibration(const CalibrationRequest& request) const override {
    const ComputeThreads threads(request.threads);
    q3vl::run_calibration(request);
  }
};

}  // namespace
}  // namespace q3vl

extern "C" const q3vl::TensorBackend* q3vl_tensor_backend() {
  static const q3vl::TorchBackend backend;
  return &backend;
}
