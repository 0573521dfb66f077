// EXIF's orientation: cameras store the sensor's rows and say how the picture is to be turned.
#pragma once

#include <string_view>

#include "image/rgb_image.h"

namespace q3vl {

/// The orientation, 1 to 8, that an EXIF block states; 1 when it states none or is malformed, as PIL does. `tiff`
/// begins with the TIFF header, "II" or "MM"; it is untrusted. Source: CIPA DC-008 (Exif 2.32), tag 0x0112 of IFD 0.
int exif_orientation(std::string_view tiff);

/// The picture upright: mirrored or turned as `orientation`, 1 to 8, asks (PIL's ImageOps.exif_transpose). 5 to 8 swap
/// width and height.
RgbImage turned_upright(RgbImage stored, int orientation);

}  // namespace q3vl
