#include "pipeline/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/parallel.h"
#include "data/weight_encoder.h"
#include "kernels/convert.h"
#include "quant/encoder.h"
#include "quant/quantizer.h"
#include "qwen3vl/names.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

/// Rows that a form's error is measured on: so many groups, evenly spread, of so many rows that lie together.
constexpr std::int64_t kSampleGroups = 16;
constexpr std::int64_t kGroupRows = 16;

/// What the error of a matrix counts; measured as the roles' sensitivity is.
double sensitivity(const WeightUse& use, std::int64_t layer_count) {
  constexpr double kFirstLayer = 8;
  const double place = !in_layers(use.role) ? static_cast<double>(layer_count) : use.layer == 0 ? kFirstLayer : 1;
  return row_of(use.role).sensitivity * place;
}

/// What a matrix can become. The first is the smallest, but for rows that are shorter than its blocks.
std::vector<TensorSpec> forms_of(const TensorSpec& text) {
  TensorSpec int4 = text.precision == Precision::int4 ? text : default_spec(Precision::int4);
  std::vector<TensorSpec> forms;
  for (const int block_size : {128, 32, 16}) {
    int4.block_size = block_size;
    forms.push_back(int4);
  }
  forms.push_back(default_spec(Precision::int8));
  return forms;
}

/// A matrix, or a table that embedding and head share, and the form chosen for it.
struct Item {
  const WeightRequest* request;
  std::vector<WeightUse> uses;
  std::vector<std::uint64_t> bytes;  ///< of each form
  std::vector<double> errors = {};   ///< of each form, as they count
  std::size_t form = 0;

  void shrink() { form = static_cast<std::size_t>(std::ranges::min_element(bytes) - bytes.begin()); }
};

std::uint64_t bytes_of(const WeightRequest& request, const Encoding& encoding) {
  std::uint64_t bytes = 0;
  for (const EncodedPart& part : encoded_parts(encoding, request.stored, request.rows, request.columns))
    bytes += part.row_bytes * static_cast<std::uint64_t>(request.rows);
  return bytes;
}

/// Σ (w − ŵ)² / Σ w² over a sample of rows that begins at `first` and is `rows` long, added to `error` and `size`.
void measure_rows(const WeightRows& weight, const WeightRequest& request, const Encoding& encoding, std::int64_t first,
                  std::int64_t rows, double& error, double& size) {
  std::vector<std::byte> stored(weight.row_bytes() * static_cast<std::uint64_t>(rows));
  weight.read(first, first + rows, stored);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::span<std::byte>> parts;
  for (const EncodedPart& part : encoded_parts(encoding, request.stored, rows, request.columns))
    bytes.emplace_back(part.row_bytes * static_cast<std::uint64_t>(rows));
  for (std::vector<std::byte>& part : bytes) parts.emplace_back(part);
  // Rows that are not finite are left out, and end the export when all of them are encoded.
  if (encode_rows(encoding, {request.stored, request.columns, stored}, {}, parts) > 0) return;
  std::vector<float> values(static_cast<std::size_t>(rows * request.columns));
  std::vector<float> reached(values.size());
  widen_to_float32(request.stored, stored, values.data());
  const std::vector<std::span<const std::byte>> encoded(bytes.begin(), bytes.end());
  dequantize_rows(encoding, encoded, request.columns, reached);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = double{values[i]} - double{reached[i]};
    error += difference * difference;
    size += double{values[i]} * double{values[i]};
  }
}

double relative_error(const Checkpoint& checkpoint, const WeightRequest& request, Encoding encoding) {
  // Feedback lowers the error of the outputs, not that of the weights: what it begins with is measured.
  if (quantizer(encoding.quantizer).feedback) encoding.quantizer = "grid";
  const WeightRows weight(checkpoint, request.name);
  double error = 0;
  double size = 0;
  const std::int64_t groups = std::min(kSampleGroups, (request.rows + kGroupRows - 1) / kGroupRows);
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t first =
        std::max<std::int64_t>(0, std::min(request.rows * group / groups, request.rows - kGroupRows));
    measure_rows(weight, request, encoding, first, std::min(kGroupRows, request.rows), error, size);
  }
  return size > 0 ? error / size : 0;
}

/// The matrices that no rule of the command line speaks of, in their smallest forms.
std::vector<Item> items_of(const PackagePlan& plan, const ExportRequest& request, const std::vector<TensorRule>& pinned,
                           const std::vector<TensorSpec>& forms) {
  const std::int64_t layers = plan.config.text.num_hidden_layers;
  std::vector<Item> items;
  const auto is_pinned = [&](const WeightUse& use) {
    return (use.role == Role::embedding && !request.embedding.empty()) ||
           std::ranges::any_of(pinned, [&](const TensorRule& rule) { return rule.covers(use, layers); });
  };
  for (const WeightRequest* weight : plan.requests.all()) {
    if (!weight->encoding.in_blocks()) continue;
    std::vector<WeightUse> uses = {weight->use};
    // Tied, both tables are one request as long as they are encoded alike, which they are before any rule.
    if (weight->use.role == Role::embedding && plan.config.text.tie_word_embeddings) uses.emplace_back(Role::lm_head);
    std::erase_if(uses, is_pinned);
    if (uses.empty()) continue;
    Item& item = items.emplace_back(Item{.request = weight, .uses = uses, .bytes = {}});
    for (const TensorSpec& form : forms) item.bytes.push_back(bytes_of(*weight, form.encoding()));
    item.shrink();
  }
  return items;
}

/// Takes steps to larger forms while they fit into `room` bytes, the one that saves the most error a byte first.
void spend(std::vector<Item>& items, std::uint64_t room) {
  while (true) {
    Item* best = nullptr;
    std::size_t best_form = 0;
    double best_rate = 0;
    for (Item& item : items)
      for (std::size_t form = 0; form < item.bytes.size(); ++form) {
        if (item.bytes[form] <= item.bytes[item.form] || item.bytes[form] - item.bytes[item.form] > room) continue;
        const auto more = static_cast<double>(item.bytes[form] - item.bytes[item.form]);
        const double rate = (item.errors[item.form] - item.errors[form]) / more;
        if (rate <= best_rate) continue;
        best = &item;
        best_form = form;
        best_rate = rate;
      }
    if (best == nullptr) return;
    room -= best->bytes[best_form] - best->bytes[best->form];
    best->form = best_form;
  }
}

/// One rule for each role and form but the first, which is that of the whole text; with its layers as ranges.
std::vector<TensorRule> rules_of(const std::vector<Item>& items, const std::vector<TensorSpec>& forms) {
  std::map<std::pair<Role, std::size_t>, TensorRule> rules;
  for (const Item& item : items)
    for (const WeightUse& use : item.uses) {
      if (item.form == 0) continue;
      TensorRule& rule =
          rules.try_emplace({use.role, item.form}, TensorRule{use.role, {}, forms[item.form]}).first->second;
      if (use.layer == WeightUse::kNoLayer) continue;
      if (!rule.layers.empty() && rule.layers.back().last == use.layer - 1)
        rule.layers.back().last = use.layer;
      else
        rule.layers.push_back({use.layer, use.layer});
    }
  std::vector<TensorRule> list;
  for (auto& [key, rule] : rules) list.push_back(std::move(rule));
  return list;
}

std::uint64_t total_bytes(const PackagePlan& plan) {
  std::uint64_t bytes = 0;
  for (const ExportedFile& file : plan.files()) bytes += file.bytes;
  return bytes;
}

}  // namespace

Recipe fit_to_size(const ExportRequest& request, const Recipe& recipe, const ExportObserver& observer) {
  if (!recipe.text.in_blocks())
    throw Error(
        ErrorKind::usage,
        fmt::format("--target-size goes with a text decoder that is quantised in blocks, but that of the recipe "
                    "{} is {}",
                    recipe.name, to_string(recipe.text)));
  const std::vector<TensorSpec> forms = forms_of(recipe.text);
  std::vector<TensorRule> pinned;
  for (const std::string& rule : request.tensors) pinned.push_back(parse_rule("--tensor", rule));
  Recipe fitted = recipe;
  fitted.text = forms.front();
  if (request.embedding.empty()) fitted.embedding = forms.front();
  fitted.tensors = pinned;
  const PackagePlan plan = plan_of(request, fitted, {});
  std::vector<Item> items = items_of(plan, request, pinned, forms);
  /// The size of the package with the items as they are, whose rules `fitted` gets.
  const auto size = [&] {
    fitted.tensors = rules_of(items, forms);
    fitted.tensors.insert(fitted.tensors.end(), pinned.begin(), pinned.end());
    return total_bytes(plan_of(request, fitted, {}));
  };
  const std::uint64_t least = size();
  if (least > request.target_size)
    throw Error(ErrorKind::usage,
                fmt::format("--target-size is {} bytes, but the smallest package is {}, with the language model as {}; "
                            "ask for more, or for less with --tensor, --embedding or --vision",
                            request.target_size, least, to_string(forms.front())));

  const std::int64_t layers = plan.config.text.num_hidden_layers;
  std::uint64_t done = 0;
  std::mutex mutex;
  parallel_for(items.size(), encoding_threads(request.threads), [&](std::size_t index) {
    Item& item = items[index];
    double counts = 0;
    for (const WeightUse& use : item.uses) counts += sensitivity(use, layers);
    for (const TensorSpec& form : forms)
      item.errors.push_back(counts * relative_error(*plan.checkpoint, *item.request, form.encoding()));
    const std::lock_guard lock(mutex);
    observer.progress({++done, items.size(), "measured", "matrices"});
  });

  // Tensors begin on whole pages, and graphs and the manifest grow with the rules: what that takes is known afterwards.
  // Without any room no step is taken, and that fits.
  for (std::uint64_t room = request.target_size - least;;) {
    for (Item& item : items) item.shrink();
    spend(items, room);
    const std::uint64_t bytes = size();
    if (bytes <= request.target_size) {
      observer.info(fmt::format("{} of {} bytes; the manifest's recipe names the form of each matrix", bytes,
                                request.target_size));
      return fitted;
    }
    room -= std::min(room, bytes - request.target_size);
  }
}

}  // namespace q3vl
