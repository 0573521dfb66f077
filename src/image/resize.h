// Resizing by bicubic interpolation.
#pragma once

#include "image/rgb_image.h"

namespace q3vl {

/// `image` in `size`, both sides 1 or more; the filter widens as the picture shrinks, so that every pixel counts.
/// Bit for bit what Pillow's Image.resize(size, BICUBIC) makes of 8-bit RGB: a = -0.5, one side after the other,
/// weights in 22-bit fixed point, 8 bit between the passes, and no pass along a side that stays. The width comes first,
/// unless the height shrinks, and by more than twice as many pixels as the width. Throws Error(bad_input) when a side
/// is below 1 or the pixels are not those of a picture of that size.
/// Source: Pillow's Resample.c; which side comes first is measured on Pillow 13.0.0 (9.4.0 always takes the width
/// first).
RgbImage resize_bicubic(const RgbImage& image, ImageSize size);

}  // namespace q3vl
