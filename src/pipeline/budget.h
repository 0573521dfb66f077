// --target-size: which matrices get more bits, so that a package of a given size loses least.
#pragma once

#include "pipeline/package_plan.h"

namespace q3vl {

/// `recipe` with rules for the matrices of the language model that fill `request.target_size` bytes. The recipe's own
/// rules make room for them; those of the command line hold. Each matrix gets one of a few forms. All begin with the
/// smallest; then, again and again, that step to a larger form is taken which saves the most error a byte and still
/// fits. The error of a form is measured on a sample of the matrix's rows, relative to their squares, and counts as its
/// role does (docs/RECIPES.md). The same checkpoint, recipe and size give the same rules on any number of threads.
/// Throws Error(usage) when even the smallest forms are too large, or the recipe's text is not quantised.
Recipe fit_to_size(const ExportRequest& request, const Recipe& recipe, const ExportObserver& observer);

}  // namespace q3vl
