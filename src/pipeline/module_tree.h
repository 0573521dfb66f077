// The modules of a checkpoint, read off the names of its tensors.
#pragma once

#include "checkpoint/checkpoint.h"
#include "qwen3vl_export/inspect.h"

namespace q3vl {

/// The root of the tree of names split at their dots; named modules come first, in the order of their names, then
/// numbered ones. Nothing is known here of any model: a layer that differs from its neighbours is a node of its own.
InspectedModule module_tree(const Checkpoint& checkpoint);

}  // namespace q3vl
