// The plan of a whole request.
#pragma once

#include "pipeline/package_plan.h"

namespace q3vl {

/// plan_of() the recipe of the request, fitted to its target size if it has one; weights are read for that alone.
/// Throws Error as plan_of() and fit_to_size() do.
PackagePlan make_plan(const ExportRequest& request, const ExportObserver& observer);

}  // namespace q3vl
