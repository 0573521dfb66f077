// The calibration that an export quantises with: opened, or made first.
#pragma once

#include <optional>

#include "calibration/calibration_file.h"
#include "pipeline/package_plan.h"

namespace q3vl {

/// The calibration that `plan` needs, or nothing when its recipe needs none. With request.calibrate it is made from
/// that folder, unless the file is there and holds just that; an interrupted calibration goes on. Throws Error(usage)
/// when a recipe needs one and none is named, or the one that is there is of other data or lacks feedback factors, and
/// Error as calibrate() and Calibration::open() do.
std::optional<Calibration> obtain_calibration(const ExportRequest& request, const PackagePlan& plan,
                                              const ExportObserver& observer);

}  // namespace q3vl
