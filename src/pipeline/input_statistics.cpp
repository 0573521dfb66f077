#include "pipeline/input_statistics.h"

#include <fmt/format.h>

#include <algorithm>

#include "quant/quantizer.h"
#include "qwen3vl/names.h"
#include "weights/column_balance.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

constexpr std::int64_t kRowsAtOnce = 256;

/// Importances that follow from the weights around a matrix.
class WeightImportance {
 public:
  explicit WeightImportance(const PackagePlan& plan) : checkpoint_(*plan.checkpoint), text_(plan.config.text) {}

  std::vector<float> of(const WeightRequest& request) const {
    const Scope layer = names::language_model(text_) / "layers" / fmt::format("{}", request.use.layer);
    const auto input_norm = [&] { return squares(vector(layer / "input_layernorm" / "weight")); };
    const auto mlp_norm = [&] { return squares(vector(layer / "post_attention_layernorm" / "weight")); };
    switch (request.use.role) {
      case Role::attention_q:
      case Role::attention_k:
      case Role::attention_v:
        return input_norm();
      case Role::mlp_gate:
      case Role::mlp_up:
        return mlp_norm();
      case Role::attention_o:
        return by_query_head(row_squares(layer / "self_attn" / "v_proj" / "weight", input_norm()));
      case Role::mlp_down: {
        std::vector<float> gate = row_squares(layer / "mlp" / "gate_proj" / "weight", mlp_norm());
        const std::vector<float> up = row_squares(layer / "mlp" / "up_proj" / "weight", mlp_norm());
        std::ranges::transform(gate, up, gate.begin(), std::multiplies());
        return gate;
      }
      default:  // the head, also where it is the embedding table
        if (request.name != text_.head_weight()) return {};
        return squares(vector(names::language_model(text_) / "norm" / "weight"));
    }
  }

 private:
  std::vector<float> vector(const Scope& name) const {
    return WeightRows(checkpoint_, name.path()).to_float32(1).to_float32();
  }

  static std::vector<float> squares(std::vector<float> values) {
    for (float& value : values) value *= value;
    return values;
  }

  /// Σ_c importance[c] · w[r][c]² of every row r.
  std::vector<float> row_squares(const Scope& name, const std::vector<float>& importance) const {
    const WeightRows weight(checkpoint_, name.path());
    const std::size_t columns = importance.size();
    std::vector<float> sums;
    std::vector<float> values(static_cast<std::size_t>(kRowsAtOnce) * columns);
    for (std::int64_t begin = 0; begin < weight.rows(); begin += kRowsAtOnce) {
      const std::int64_t end = std::min(begin + kRowsAtOnce, weight.rows());
      weight.read_float32(begin, end, values);
      for (const float* row = values.data(); std::ssize(sums) < end; row += columns) {
        float& sum = sums.emplace_back(0.0F);
        for (std::size_t column = 0; column < columns; ++column) sum += importance[column] * row[column] * row[column];
      }
    }
    return sums;
  }

  /// Values of the key/value heads' channels, repeated for the query heads that each of them serves.
  std::vector<float> by_query_head(const std::vector<float>& values) const {
    std::vector<float> repeated;
    const std::int64_t shared = text_.num_attention_heads / text_.num_key_value_heads;
    for (std::int64_t head = 0; head < text_.num_attention_heads; ++head) {
      const auto first = values.begin() + head / shared * text_.head_dim;
      repeated.insert(repeated.end(), first, first + text_.head_dim);
    }
    return repeated;
  }

  const Checkpoint& checkpoint_;
  const TextConfig& text_;
};

std::function<InputStatistics(const WeightRequest&)> block_statistics(const PackagePlan& plan,
                                                                      std::optional<Calibration> calibration) {
  switch (plan.recipe.importance) {
    case ImportanceSource::none:
      break;
    case ImportanceSource::weights:
      return [importance = WeightImportance(plan)](const WeightRequest& request) {
        return InputStatistics{.importance = importance.of(request), .feedback = {}, .balance = {}};
      };
    case ImportanceSource::calibration:
      return [found = std::make_shared<const Calibration>(std::move(*calibration))](const WeightRequest& request) {
        InputStatistics inputs;
        inputs.importance = found->second_moment(request.name).value_or(std::vector<float>());
        if (quantizer(request.encoding.quantizer).feedback)
          inputs.feedback = found->feedback(request.name).value_or(std::vector<std::uint16_t>());
        return inputs;
      };
  }
  return [](const WeightRequest&) { return InputStatistics{}; };
}

}  // namespace

std::function<InputStatistics(const WeightRequest&)> input_statistics(const PackagePlan& plan,
                                                                      std::optional<Calibration> calibration) {
  return [&checkpoint = *plan.checkpoint,
          in_blocks = block_statistics(plan, std::move(calibration))](const WeightRequest& request) {
    if (request.encoding.in_blocks()) return in_blocks(request);
    return InputStatistics{.importance = {}, .feedback = {}, .balance = column_balance(checkpoint, request)};
  };
}

}  // namespace q3vl
