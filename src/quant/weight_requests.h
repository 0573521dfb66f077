// What the builders ask of a checkpoint: each weight by name, shape and role.
//
// Faults are gathered, not thrown one by one: after the graphs are built, check() lists them all.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "quant/encoding.h"
#include "quant/role.h"

namespace q3vl {

/// What a checkpoint's header says of a tensor.
struct StoredWeight {
  DataType type;
  Shape shape;
};
using WeightLookup = std::function<std::optional<StoredWeight>(const std::string& name)>;

/// Role and layer → encoding.
using EncodingPolicy = std::function<Encoding(const WeightUse& use)>;

/// A weight in the form in which the package holds it.
struct WeightRequest {
  std::string name;
  WeightUse use;  ///< of the first request for this form
  Encoding encoding;
  DataType stored;
  std::int64_t rows;     ///< the first dimension; 1 for a vector
  std::int64_t columns;  ///< the product of the others; a vector's length
  std::vector<EncodedPart> parts;
  std::string balanced_by;  ///< w8a8: the norm, before ".weight" and ".bias", whose balance_of() its columns are
                            ///< multiplied by, over and over if they are more; row_norms: whose gains they are; empty:
                            ///< none

  /// Identifies the bytes of part `index` over all graphs of a package.
  std::string blob(std::size_t index) const;
};

/// A weight that is not in the checkpoint as a graph needs it.
struct WeightFault {
  enum class Kind { missing, shape, type };
  Kind kind;
  std::string weight;
  std::string message;  ///< a sentence that names the weight

  bool operator==(const WeightFault&) const = default;
};

class WeightRequests {
 public:
  WeightRequests(WeightLookup lookup, EncodingPolicy policy) : lookup_(std::move(lookup)), policy_(std::move(policy)) {}

  /// Says that what follows are the requests of another graph.
  void begin_graph() { bound_.clear(); }

  /// States that a graph needs `name` with `shape` for `use`, once in all for one role. The same weight in the same
  /// encoding is one request, so that tied weights of two graphs share their bytes. `balanced_by` is for w8a8 and
  /// row_norms alone.
  const WeightRequest& request(const std::string& name, const Shape& shape, const WeightUse& use,
                               const std::string& balanced_by = "");

  /// What the policy makes of a weight for `use`.
  Encoding encoding(const WeightUse& use) const { return policy_(use); }

  /// In the order of the first request.
  const std::vector<const WeightRequest*>& all() const { return order_; }

  /// One for each weight that is missing, has another shape, or a type that is no weight's.
  const std::vector<WeightFault>& faults() const { return faults_; }

  bool requested(const std::string& name) const { return names_.contains(name); }

 private:
  WeightLookup lookup_;
  EncodingPolicy policy_;
  std::map<std::string, WeightRequest> requests_;  // by name and encoding
  std::vector<const WeightRequest*> order_;
  std::set<std::string> names_;
  std::set<std::pair<std::string, Role>> bound_;  // of the graph under way
  std::vector<WeightFault> faults_;
};

}  // namespace q3vl
