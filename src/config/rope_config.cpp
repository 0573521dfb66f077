#include "config/rope_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numeric>
#include <optional>

#include "config/refusal.h"

namespace q3vl {
namespace {

// Graphs hold it in float32, where its reciprocal must be a normal number.
constexpr double kMaxTheta = 1e30;
constexpr double kMaxFactor = 1e6;
constexpr std::int64_t kMaxSection = 1 << 20;

/// The object at `key`; an empty one says nothing, as in Hugging Face.
std::optional<JsonObject> settings_at(const JsonObject& text, std::string_view key) {
  if (!text.has(key)) return std::nullopt;
  const JsonObject found = text.object(key);
  return found.json().empty() ? std::nullopt : std::optional(found);
}

/// The settings that count, if there are any.
std::optional<JsonObject> settings_of(const JsonObject& text, std::vector<std::string>& warnings) {
  const auto older = settings_at(text, "rope_scaling");
  const auto newer = settings_at(text, "rope_parameters");
  if (older && newer && older->json() != newer->json())
    warnings.push_back(fmt::format("{}: {} and {} differ; the former counts, as in Hugging Face", text.origin(),
                                   text.path_of("rope_scaling"), text.path_of("rope_parameters")));
  return older ? older : newer;
}

double parse_theta(const JsonObject& text, const std::optional<JsonObject>& settings,
                   std::vector<std::string>& warnings) {
  constexpr std::string_view kKey = "rope_theta";
  if (!settings || !settings->has(kKey)) return text.number(kKey, 2, kMaxTheta);
  const double inside = settings->number(kKey, 2, kMaxTheta);
  if (text.has(kKey) && text.number(kKey, 2, kMaxTheta) != inside)
    warnings.push_back(fmt::format("{}: {} is {}, and {} is {}; the former counts, as in Hugging Face", text.origin(),
                                   settings->path_of(kKey), inside, text.path_of(kKey),
                                   text.number(kKey, 2, kMaxTheta)));
  return inside;
}

RopeScaling::Type parse_type(const JsonObject& settings) {
  // "type" is the spelling of configs written before rope_type existed.
  const std::string_view key = settings.has("rope_type") ? "rope_type" : "type";
  if (!settings.has(key)) return RopeScaling::Type::none;
  const std::string type = settings.string(key);
  if (type == "default") return RopeScaling::Type::none;
  if (type == "linear") return RopeScaling::Type::linear;
  if (type == "yarn") return RopeScaling::Type::yarn;
  const bool depends = type == "dynamic" || type == "longrope";
  unsupported(settings,
              fmt::format("{} is \"{}\"{}; \"default\", \"linear\" and \"yarn\" are exported", settings.path_of(key),
                          type, depends ? ", whose frequencies depend on the prompt's length" : ""));
}

/// YaRN's mscale: how much longer contexts sharpen attention.
double magnitude_scale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

void parse_yarn(const JsonObject& settings, std::int64_t max_position_embeddings, RopeScaling& scaling) {
  const auto number = [&](std::string_view key, double least, double otherwise) {
    return settings.has(key) ? settings.number(key, least, kMaxFactor) : otherwise;
  };
  scaling.beta_fast = number("beta_fast", 1e-6, scaling.beta_fast);
  scaling.beta_slow = number("beta_slow", 1e-6, scaling.beta_slow);
  if (scaling.beta_fast < scaling.beta_slow)
    settings.fail(fmt::format("{} is {}, expected at least {}, which is {}", settings.path_of("beta_fast"),
                              scaling.beta_fast, settings.path_of("beta_slow"), scaling.beta_slow));
  if (settings.has("truncate")) scaling.truncate = settings.boolean("truncate");
  scaling.original_max_position_embeddings = settings.has("original_max_position_embeddings")
                                                 ? settings.integer("original_max_position_embeddings", 1, kMaxContext)
                                                 : max_position_embeddings;
  const double mscale = number("mscale", 0, 0);
  const double mscale_all_dim = number("mscale_all_dim", 0, 0);
  const double implied = mscale > 0 && mscale_all_dim > 0
                             ? magnitude_scale(scaling.factor, mscale) / magnitude_scale(scaling.factor, mscale_all_dim)
                             : magnitude_scale(scaling.factor, 1);
  scaling.attention_factor = number("attention_factor", 1e-6, implied);
}

void parse_sections(const JsonObject& settings, TextConfig& config) {
  if (settings.has("mrope_interleaved") && !settings.boolean("mrope_interleaved"))
    unsupported(settings,
                fmt::format("{} is false; only interleaved MRoPE is exported", settings.path_of("mrope_interleaved")));
  config.mrope_section = settings.integers("mrope_section", 0, kMaxSection);
  const auto& section = config.mrope_section;
  if (section.size() != 3)
    settings.fail(fmt::format("{} has {} entries, expected 3 (time, height, width)", settings.path_of("mrope_section"),
                              section.size()));
  const std::int64_t half = config.head_dim / 2;
  if (std::accumulate(section.begin(), section.end(), std::int64_t{0}) != half)
    settings.fail(fmt::format("{} is [{}], whose sum must be head_dim / 2 = {}", settings.path_of("mrope_section"),
                              fmt::join(section, ", "), half));
  // Height takes the frequencies 1, 4, 7 … below 3·section[1], width 2, 5, 8 … below 3·section[2].
  for (const std::size_t axis : {1U, 2U})
    if (3 * section[axis] + static_cast<std::int64_t>(axis) > half + 2)
      settings.fail(fmt::format("{} is [{}]: interleaving {} frequencies at every third place does not fit into {}",
                                settings.path_of("mrope_section"), fmt::join(section, ", "), section[axis], half));
}

}  // namespace

void parse_rope(const JsonObject& text, bool three_axes, TextConfig& config, std::vector<std::string>& warnings) {
  const std::optional<JsonObject> settings = settings_of(text, warnings);
  if (!settings && (three_axes || !text.has("rope_theta")))
    text.fail(fmt::format("{} is missing, and so is the older {}", text.path_of("rope_parameters"),
                          text.path_of(three_axes ? "rope_scaling" : "rope_theta")));
  config.rope_theta = parse_theta(text, settings, warnings);
  if (!settings) return;
  RopeScaling& scaling = config.rope_scaling;
  scaling.type = parse_type(*settings);
  if (scaling.type == RopeScaling::Type::none) {
    for (const std::string_view key : {"factor", "attention_factor"})
      if (settings->has(key) && settings->number(key, 0, kMaxFactor) != 1)
        settings->fail(
            fmt::format("{} is {}, but rope_type is \"default\", which has no factor; name the type that is "
                        "meant, \"yarn\" or \"linear\", or take the factor out",
                        settings->path_of(key), settings->number(key, 0, kMaxFactor)));
  } else {
    scaling.factor = settings->number("factor", 1, kMaxFactor);
  }
  if (scaling.type == RopeScaling::Type::yarn) parse_yarn(*settings, config.max_position_embeddings, scaling);
  if (three_axes) parse_sections(*settings, config);
}

}  // namespace q3vl
