// What every operator function needs: the graph it appends to, the weights it may ask for, and the target.
#pragma once

#include "graph/graph.h"
#include "quant/weight_requests.h"
#include "target/target.h"

namespace q3vl {

struct Builder {
  Graph& graph;
  WeightRequests& weights;
  const TargetProfile& target;

  /// The same for a control-flow body.
  Builder inside(Graph& body) const { return {body, weights, target}; }
};

}  // namespace q3vl
