#include "support/test_data.h"

#include <ATen/ATen.h>

#include <limits>

#include "tensors/tensor_reader.h"

namespace q3vl::test {

std::filesystem::path data_path(const std::string& below) {
  return std::filesystem::path(Q3VL_TEST_DATA_DIR) / below;
}

Recorded::Recorded(const std::filesystem::path& path) : file_(Checkpoint::open_file(path)) {}

std::vector<std::string> Recorded::names() const {
  std::vector<std::string> names;
  for (const auto& [name, info] : file_.tensors()) names.push_back(name);
  return names;
}

at::Tensor Recorded::operator[](const std::string& name) const {
  return read_tensor(file_, name);
}

std::vector<std::int64_t> Recorded::integers(const std::string& name) const {
  if (!has(name)) return {};
  const at::Tensor values = (*this)[name].contiguous();
  const auto* data = values.data_ptr<std::int64_t>();
  return {data, data + values.numel()};
}

std::vector<Grid> Recorded::grids(const std::string& name) const {
  const std::vector<std::int64_t> values = integers(name);
  std::vector<Grid> grids;
  for (std::size_t i = 0; i < values.size(); i += 3) grids.push_back({values[i], values[i + 1], values[i + 2]});
  return grids;
}

Recorded recorded(const std::string& name) {
  return Recorded(data_path("tiny-a/expected/" + name + ".safetensors"));
}

double max_difference(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  const double largest = (found.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
  return largest == largest ? largest : std::numeric_limits<double>::infinity();
}

}  // namespace q3vl::test
