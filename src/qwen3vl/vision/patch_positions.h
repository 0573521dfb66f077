// Where the patches of a picture stand: everything that depends on its grid alone.
#pragma once

#include "config/model_config.h"
#include "ops/builder.h"
#include "ops/rotary.h"

namespace q3vl {

/// The sizes of one picture as int64 scalars.
struct ImageGrid {
  Value rows;           ///< h: patches from top to bottom
  Value columns;        ///< w
  Value frame_patches;  ///< h·w
  Value patches;        ///< t·h·w
};

/// Takes the grid [3] (t, h, w) apart.
ImageGrid image_grid(Graph& g, const Scope& s, const Value& grid);

struct PatchPositions {
  Value embedding;         ///< [h·w, hidden]: the position table, interpolated for this grid
  RotaryTable rotary;      ///< a row a patch of a frame
  Value framed_shape;      ///< the shape [t, h·w, hidden], and
  Value framed_qkv_shape;  ///< [t, h·w, 3·hidden], as int64 vectors
};

/// The positions of a frame's patches in merge order: blocks of merge × merge neighbours stand behind each other,
/// blocks from left to right and top to bottom. Equal for all frames of a picture.
PatchPositions patch_positions(const Builder& b, const Scope& visual, const VisionConfig& cfg, const ImageGrid& grid);

}  // namespace q3vl
