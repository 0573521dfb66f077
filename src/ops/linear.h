// Linear layers. Weights lie as the checkpoint stores them, [out, in]: nothing is transposed at export.
#pragma once

#include <map>
#include <optional>

#include "ops/integer_product.h"

namespace q3vl {

/// What several linear layers multiply: [batch, sequence, width]. As integers it is made when the first of them asks.
class LinearInput {
 public:
  /// `s` names what is emitted. `balanced_by`: the norm whose balanced output x is, or nothing.
  LinearInput(Graph& g, const Scope& s, Value x, std::string balanced_by = "")
      : graph_(g), scope_(s / "quantize"), x_(std::move(x)), balanced_by_(std::move(balanced_by)) {}

  const Value& value() const { return x_; }
  const std::string& balanced_by() const { return balanced_by_; }

  /// [batch · sequence, width].
  const QuantizedRows& integers();

  /// rows [batch · sequence, width] → [batch, sequence, width].
  Value unflatten(const Scope& s, const Value& rows, std::int64_t width);

 private:
  Graph& graph_;
  Scope scope_;
  Value x_;
  std::string balanced_by_;
  std::optional<QuantizedRows> integers_;
  std::map<std::int64_t, Value> shapes_;  ///< [batch, sequence, width] as int64 vectors, by width
};

/// x · Wᵀ without a bias: [batch, sequence, in] → [batch, sequence, out]. `weight` names W [out, in].
/// Quantised in blocks it is a MatMulNBits of `accuracy_level` (4: int8 activations; 0: the compute type), as w8a8 a
/// product of integers, otherwise a FusedMatMul whose right side is transposed.
Value linear(const Builder& b, const Scope& s, const Scope& weight, LinearInput& x, std::int64_t in, std::int64_t out,
             const WeightUse& use, std::int64_t accuracy_level);

struct Affine {
  std::int64_t in;
  std::int64_t out;
  Role role;
  std::string balanced_by = {};  ///< the norm whose balanced output x is, or nothing
  Shape stored_shape = {};       ///< of the weight, [out, in] when flattened; empty: that
};

/// x · Wᵀ + bias on rows: [rows, in] → [rows, out], weights `s`.weight and `s`.bias [out]. As w8a8 it is a product of
/// integers, otherwise a Gemm.
Value affine(const Builder& b, const Scope& s, const Value& x, const Affine& sizes);

}  // namespace q3vl
