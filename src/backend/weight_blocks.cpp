#include "backend/weight_blocks.h"

#include "backend/open_library.h"

namespace q3vl {

MakeWeightBlock weight_blocks() {
  using Entry = WeightBlock* (*)();
  static const auto entry = reinterpret_cast<Entry>(open_library("qwen3vl-export-c10.so", kWeightBlockEntry));
  return [] { return std::unique_ptr<WeightBlock>(entry()); };
}

}  // namespace q3vl
