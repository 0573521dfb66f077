#include "pipeline/make_plan.h"

#include "pipeline/budget.h"

namespace q3vl {

PackagePlan make_plan(const ExportRequest& request, const ExportObserver& observer) {
  const Recipe recipe = recipe_of(request);
  return plan_of(request, request.target_size == 0 ? recipe : fit_to_size(request, recipe, observer), observer);
}

}  // namespace q3vl
