#include "config/neutral_keys.h"

#include <fmt/format.h>

#include <array>

#include "config/refusal.h"

namespace q3vl {
namespace {

using enum NeutralKey::Value;

constexpr std::array kText = {
    NeutralKey{"attention_bias", off},
    NeutralKey{"attention_multiplier", off},
    NeutralKey{"attn_logit_softcapping", off},
    NeutralKey{"attn_output_gate", off},
    NeutralKey{"embedding_multiplier", one},
    NeutralKey{"final_logit_softcapping", off},
    NeutralKey{"logit_scale", one},
    NeutralKey{"logits_scaling", one},
    NeutralKey{"mlp_bias", off},
    NeutralKey{"partial_rotary_factor", one},
    NeutralKey{"qkv_bias", off},
    NeutralKey{"query_pre_attn_scalar", off},
    NeutralKey{"residual_multiplier", one},
    NeutralKey{"rope_local_base_freq", off},
    NeutralKey{"use_sliding_window", off},
};

constexpr std::array kVision = {
    NeutralKey{"fullatt_block_indexes", off},
    NeutralKey{"window_size", off},
};

bool is_neutral(const Json& value, NeutralKey::Value neutral) {
  if (value.is_null()) return true;
  if (neutral == one) return value.is_number() && value.get<double>() == 1;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  return value.is_array() && value.empty();
}

}  // namespace

std::span<const NeutralKey> text_neutral_keys() {
  return kText;
}

std::span<const NeutralKey> vision_neutral_keys() {
  return kVision;
}

void expect_neutral(const JsonObject& object, std::span<const NeutralKey> keys) {
  for (const NeutralKey& key : keys) {
    if (!object.has(key.key)) continue;
    const Json& value = object.json().at(std::string(key.key));
    if (!is_neutral(value, key.neutral))
      unsupported(object, fmt::format("{} is {}; only models without it are exported", object.path_of(key.key),
                                      describe(value)));
  }
}

}  // namespace q3vl
