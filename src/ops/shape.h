// Integer arithmetic on shapes and positions, and the operators that only move data.
#pragma once

#include "graph/graph.h"

namespace q3vl {

/// Elementwise, with broadcasting; both of one type.
Value add(Graph& g, const Scope& s, const Value& a, const Value& b);
Value subtract(Graph& g, const Scope& s, const Value& a, const Value& b);
Value multiply(Graph& g, const Scope& s, const Value& a, const Value& b);
Value divide(Graph& g, const Scope& s, const Value& a, const Value& b);  ///< integers: rounds towards zero
Value remainder(Graph& g, const Scope& s, const Value& a, const Value& b);
Value minimum(Graph& g, const Scope& s, const Value& a, const Value& b);
Value maximum(Graph& g, const Scope& s, const Value& a, const Value& b);

/// One size of `x`'s shape as an int64 scalar [].
Value dimension(Graph& g, const Scope& s, const Value& x, std::int64_t axis);

/// 0, 1 … count−1 as int64 [count]; `count` is a scalar.
Value range(Graph& g, const Scope& s, const Value& count);
/// begin … end−1.
Value range(Graph& g, const Scope& s, const Value& begin, const Value& end);

/// `x` in a shape known but for one −1, and 0 for a size that is kept.
Value reshape(Graph& g, const Scope& s, const Value& x, std::vector<std::int64_t> shape);
/// `x` in a shape computed as an int64 vector.
Value reshape(Graph& g, const Scope& s, const Value& x, const Value& shape);

/// The rows of `x` (or the slices along `axis`) at `indices`.
Value gather(Graph& g, const Scope& s, const Value& x, const Value& indices, std::int64_t axis = 0);

/// A size-1 dimension put in at `axis`.
Value unsqueeze(Graph& g, const Scope& s, const Value& x, std::int64_t axis);

Value concat(Graph& g, const Scope& s, const std::vector<Value>& parts, std::int64_t axis);

/// `parts` equal pieces along `axis`.
std::vector<Value> split(Graph& g, const Scope& s, const Value& x, std::int64_t parts, std::int64_t axis);

/// x[…, begin:end, …] along `axis`; `begin` and `end` are int64 vectors of one element.
Value slice(Graph& g, const Scope& s, const Value& x, const Value& begin, const Value& end, std::int64_t axis);

}  // namespace q3vl
