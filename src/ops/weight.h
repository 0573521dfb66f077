// A weight as a value of the compute type.
#pragma once

#include "ops/builder.h"

namespace q3vl {

/// The weight `path` of shape `shape` in the checkpoint, seen as `graph_shape` (the same number of elements; rows
/// first) in the graph. Stored in a narrower type, it is followed by a Cast, which runtimes fold into the constant when
/// they load the graph. Throws Error(usage) when the recipe wants `role` quantised: this use of it has no such form.
Value float_weight(const Builder& b, const Scope& path, const Shape& shape, Role role, const Shape& graph_shape);
Value float_weight(const Builder& b, const Scope& path, const Shape& shape, Role role);

/// `weight` itself, or a Cast of it where it is not of the compute type.
Value as_compute_type(const Builder& b, const Scope& path, const Value& weight);

/// The inputs by which operators take a block-quantised weight: data, seen as `data_shape`, scales in the compute type
/// and, unless it is symmetric, zero points. `use` ends their names: a graph that looks rows up in a matrix and
/// multiplies by it may hold it in two encodings, or see the same bytes in two shapes.
std::vector<Value> quantized_parts(const Builder& b, const Scope& path, const WeightRequest& request,
                                   const Shape& data_shape, const std::string& use = "");

/// The initializer of one part of a requested weight, in a shape of the caller's choice; `use` ends its name.
Value weight_part(const Builder& b, const WeightRequest& request, std::size_t part, Shape graph_shape,
                  const std::string& use = "");

}  // namespace q3vl
