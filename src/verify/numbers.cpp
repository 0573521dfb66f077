#include "verify/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "backend/tensor_backend.h"
#include "base/parallel.h"
#include "qwen3vl_export/error.h"
#include "verify/measure.h"
#include "verify/package_run.h"
#include "verify/package_weights.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

using Results = std::vector<ReferenceResult>;

/// Those that do not come from the user's texts.
std::span<const VerifyCase> own_cases(std::span<const VerifyCase> cases) {
  return {cases.begin(), std::ranges::find_if(cases, &VerifyCase::text)};
}

std::vector<ReferenceCase> reference_cases(std::span<const VerifyCase> cases) {
  std::vector<ReferenceCase> list;
  for (const VerifyCase& item : cases) list.push_back({item.prompt, item.positions});
  return list;
}

Results run_reference(const NumbersRequest& request, std::span<const VerifyCase> chosen,
                      const ReferenceWeights& weights, const ReferenceWeights& embedding) {
  const std::vector<ReferenceCase> cases = reference_cases(chosen);
  const auto checked = [](const ReferenceWeights& source) {
    return [source](const std::string& name) {
      throw_if_interrupted();
      return source(name);
    };
  };
  return tensor_backend().run_reference({.config = &request.config,
                                         .cases = &cases,
                                         .weights = checked(weights),
                                         .embedding = checked(embedding),
                                         .threads = request.threads,
                                         .progress = [&](std::int64_t done, std::int64_t total) {
                                           request.observer.progress({static_cast<std::uint64_t>(done),
                                                                      static_cast<std::uint64_t>(total), "computed",
                                                                      "layers"});
                                         }});
}

/// What embedding.onnx should give: [1, L, (1+D)·H], token embeddings and merged features, with the DeepStack levels of
/// the placeholders behind and zeros elsewhere.
HostTensor wide_embeds(const ModelConfig& config, const VerifyCase& item, const ReferenceResult& reference) {
  const std::int64_t hidden = config.text.hidden_size;
  const std::int64_t width = config.features_width();
  const auto length = static_cast<std::int64_t>(item.prompt.input_ids.size());
  HostTensor wide = HostTensor::zeros(DataType::float32, {1, length, width});
  float* out = wide.values<float>().data();
  const float* embeds = reference.inputs_embeds.values<float>().data();
  const float* features = reference.features.values<float>().data();
  for (std::int64_t token = 0; token < length; ++token, out += width, embeds += hidden) {
    std::copy_n(embeds, hidden, out);
    const std::int64_t id = item.prompt.input_ids[static_cast<std::size_t>(token)];
    if (id != config.image_token_id && id != config.video_token_id) continue;
    std::copy_n(features + hidden, width - hidden, out + hidden);
    features += width;
  }
  return wide;
}

/// Columns [begin, begin + count) of a [rows, width] matrix.
std::vector<float> columns(const HostTensor& matrix, std::int64_t begin, std::int64_t count) {
  const std::int64_t width = matrix.shape.back();
  const std::span<const float> all = matrix.values<float>();
  std::vector<float> part;
  for (std::int64_t row = 0; row * width < static_cast<std::int64_t>(all.size()); ++row)
    part.insert(part.end(), all.begin() + row * width + begin, all.begin() + row * width + begin + count);
  return part;
}

/// "features", "deepstack 0", …: the parts of image_features.
std::string feature_name(std::int64_t part) {
  return part == 0 ? "features" : fmt::format("deepstack {}", part - 1);
}

/// What is reported of the next-token distributions at several positions.
class DistributionMeans {
 public:
  void add(const PositionQuality& row) {
    ++positions_;
    kld_ += row.kld;
    same_top_ += row.same_top ? 1 : 0;
  }

  /// The logits of package and checkpoint before `token`.
  void add_next(std::span<const float> package, std::span<const float> checkpoint, std::int64_t token) {
    ++next_tokens_;
    nll_package_ += negative_log_likelihood(package, token);
    nll_checkpoint_ += negative_log_likelihood(checkpoint, token);
  }

  std::int64_t positions() const { return positions_; }
  double kld() const { return kld_ / static_cast<double>(positions_); }
  double top1_agreement() const { return static_cast<double>(same_top_) / static_cast<double>(positions_); }
  double nll_package() const { return nll_package_ / static_cast<double>(next_tokens_); }
  double nll_checkpoint() const { return nll_checkpoint_ / static_cast<double>(next_tokens_); }

 private:
  std::int64_t positions_ = 0;
  std::int64_t same_top_ = 0;
  std::int64_t next_tokens_ = 0;
  double kld_ = 0;
  double nll_package_ = 0;
  double nll_checkpoint_ = 0;
};

class NumbersRun {
 public:
  NumbersRun(const NumbersRequest& request, NumericsCheck* numerics, QualityCheck* quality)
      : request_(request),
        own_cases_(own_cases(request.cases)),
        numerics_(numerics),
        quality_(quality),
        package_(request.runtime, request.package, *request.package_layout, request.config,
                 request.has_text && !request.has_vision && !request.has_embedding, request.threads) {
    if (numerics_) {
      numerics_->run = true;
      numerics_->tolerance = request.tolerance;
    }
    if (quality_) quality_->run = true;
  }

  void run() {
    run_references();
    if (!numerics_ && !quality_) return;
    chain_features_ = features_of(ideal_);
    if (request_.has_vision) attempt([&] { vision(); });
    for (std::size_t i = 0; i < exact_.size(); ++i)
      exact_embeds_.push_back(wide_embeds(request_.config, request_.cases[i], exact_[i]));
    for (std::size_t i = 0; i < ideal_.size(); ++i)
      chain_embeds_.push_back(wide_embeds(request_.config, request_.cases[i], ideal_[i]));
    if (request_.has_embedding) attempt([&] { embedding(); });
    if (request_.has_text) attempt([&] { text(); });
    if (quality_) attempt([&] { weights(); });
  }

 private:
  /// A graph that cannot be loaded or run, or gives something of another size, is a finding; the rest is still checked.
  void attempt(const std::function<void()>& work) {
    try {
      throw_if_interrupted();
      work();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::bad_input && error.kind() != ErrorKind::unsupported) throw;
      if (numerics_) numerics_->findings.emplace_back(error.what());
      if (quality_) quality_->findings.emplace_back(error.what());
    }
  }

  void run_references() {
    const ReferenceWeights stored = checkpoint_weights(request_.checkpoint, request_.threads);
    const auto packed = [&](const Encoding& preferred) {
      return package_weights(request_.layout, request_.checkpoint, request_.package, preferred, request_.threads);
    };
    if (numerics_) {
      request_.observer.info("the reference runs with the package's weights");
      try {
        exact_ =
            run_reference(request_, own_cases_, packed(request_.head_encoding), packed(request_.embedding_encoding));
      } catch (const Error& error) {  // a data file that is missing or was cut short
        if (error.kind() != ErrorKind::bad_input) throw;
        numerics_->findings.emplace_back(error.what());
        numerics_ = nullptr;
      }
    }
    if (quality_) {
      request_.observer.info("the reference runs with the checkpoint's weights");
      ideal_ = run_reference(request_, request_.cases, stored, stored);
    }
    if (!numerics_ && !quality_) return;
    // What is not asked for is not looked at; the one that is stands in, so that the graphs have something to run on.
    if (ideal_.empty()) ideal_ = exact_;
    if (exact_.empty()) exact_.assign(ideal_.begin(), ideal_.begin() + std::ssize(own_cases_));
  }

  std::vector<HostTensor> features_of(const Results& results) const {
    std::vector<HostTensor> list;
    for (const ReferenceResult& result : results)
      list.push_back(result.features.shape.empty()
                         ? HostTensor::zeros(DataType::float32, {0, request_.config.features_width()})
                         : result.features);
    return list;
  }

  std::string file_of(GraphKind kind) const { return request_.package_layout->file(kind); }

  void weights() {
    const Likeness likeness =
        quantized_weights(request_.layout, request_.checkpoint, request_.package, request_.threads);
    if (!likeness.empty()) add_component("weights", likeness);
  }

  void vision() {
    request_.observer.info(file_of(GraphKind::vision) + " runs");
    const std::span<const VerifyCase> cases = request_.cases.first(ideal_.size());
    std::vector<HostTensor> shipped = package_.vision(cases, Activations::as_shipped);
    // The same again unless there are activations to be kept as they are.
    const std::vector<HostTensor> found =
        numerics_ && multiplies_integers() ? package_.vision(own_cases_, Activations::floats) : shipped;
    const std::int64_t hidden = request_.config.text.hidden_size;
    for (std::int64_t part = 0; part <= request_.config.deepstack_levels(); ++part) {
      Likeness likeness;
      for (std::size_t i = 0; i < shipped.size(); ++i) {
        if (request_.cases[i].prompt.pictures.empty()) continue;
        if (shipped[i].shape != ideal_[i].features.shape)
          throw Error(ErrorKind::bad_input,
                      fmt::format("{}: image_features has the shape {}, expected {}", file_of(GraphKind::vision),
                                  to_string(shipped[i].shape), to_string(ideal_[i].features.shape)));
        if (i < found.size())
          compare(request_.cases[i], feature_name(part), columns(found[i], part * hidden, hidden),
                  columns(exact_[i].features, part * hidden, hidden));
        likeness.add(columns(shipped[i], part * hidden, hidden), columns(ideal_[i].features, part * hidden, hidden));
      }
      add_component(feature_name(part), likeness);
    }
    chain_features_ = std::move(shipped);
  }

  /// Whether the visual tower quantises activations.
  bool multiplies_integers() const {
    return std::ranges::any_of(request_.layout.weights(), [](const PlacedWeight& placed) {
      return is_vision(placed.request->use.role) && placed.request->encoding.format == Encoding::Format::w8a8;
    });
  }

  void embedding() {
    request_.observer.info(file_of(GraphKind::embedding) + " runs");
    const std::vector<std::vector<HostTensor>> features = {features_of(exact_), chain_features_};
    auto found = package_.embedding(request_.cases, features);
    Likeness likeness;
    for (std::size_t i = 0; i < found[0].size(); ++i)
      compare(request_.cases[i], "inputs_embeds", found[0][i].values<float>(), exact_embeds_[i].values<float>());
    for (std::size_t i = 0; i < found[1].size(); ++i)
      if (found[1][i].bytes.size() == chain_embeds_[i].bytes.size())
        likeness.add(found[1][i].values<float>(), chain_embeds_[i].values<float>());
    add_component("inputs_embeds", likeness);
    chain_embeds_ = std::move(found[1]);
  }

  void text() {
    if (numerics_) {
      request_.observer.info(file_of(GraphKind::text) + " runs with float activations");
      const std::vector<TextOutputs> found = package_.text(own_cases_, exact_embeds_, Activations::floats);
      for (std::size_t i = 0; i < found.size(); ++i) compare_text(own_cases_[i], found[i], exact_[i]);
      request_.observer.info(file_of(GraphKind::text) + " decodes over its cache");
      compare_decoding(package_.decoding(own_cases_, exact_embeds_));
    }
    if (quality_) {
      request_.observer.info(file_of(GraphKind::text) + " runs as it is shipped");
      measure_text(package_.text(request_.cases, chain_embeds_, Activations::as_shipped));
    }
  }

  void compare_text(const VerifyCase& item, const TextOutputs& found, const ReferenceResult& expected) {
    // Layer by layer in the order of the computation, so that the first finding is where an error enters.
    for (std::size_t layer = 0; layer < found.hidden.size(); ++layer) {
      compare(item, fmt::format("present.{}.key", layer), found.keys[layer].values<float>(),
              expected.keys[layer].values<float>());
      compare(item, fmt::format("present.{}.value", layer), found.values[layer].values<float>(),
              expected.values[layer].values<float>());
      compare(item, fmt::format("layer {}", layer), found.hidden[layer].values<float>(),
              expected.hidden[layer].values<float>());
    }
    compare(item, "logits", found.logits.values<float>(), expected.logits.values<float>());
  }

  void compare_decoding(const DecodingOutputs& found) {
    for (std::size_t i = 0; i < found.growing.size(); ++i) {
      const HostTensor& logits = exact_[i].logits;  // the last positions are always among those compared
      const auto count = static_cast<std::size_t>((1 + kDecodedTokens) * logits.shape.back());
      const std::span<const float> last = logits.values<float>().last(count);
      const VerifyCase& item = request_.cases[i];
      compare(item, "decoded over a growing cache", found.growing[i].values<float>(), last);
      compare(item, "decoded over a shared cache", found.shared[i].values<float>(), last);
      if (i < found.batch.size())
        compare(item, "in a right-padded batch", found.batch[i].values<float>(),
                last.last(static_cast<std::size_t>(logits.shape.back())));
    }
  }

  void measure_text(const std::vector<TextOutputs>& found) {
    Likeness logits;
    std::vector<Likeness> layers(static_cast<std::size_t>(request_.config.text.num_hidden_layers));
    DistributionMeans all;
    DistributionMeans texts;
    std::int64_t sequences = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const VerifyCase& item = request_.cases[i];
      const std::span<const float> mine = found[i].logits.values<float>();
      const std::span<const float> theirs = ideal_[i].logits.values<float>();
      const auto vocabulary = static_cast<std::size_t>(request_.config.text.vocab_size);
      for (std::size_t p = 0; p < item.positions.size(); ++p) {
        const std::span<const float> a = mine.subspan(p * vocabulary, vocabulary);
        const std::span<const float> b = theirs.subspan(p * vocabulary, vocabulary);
        const PositionQuality row{.name = item.name,
                                  .position = item.positions[p],
                                  .kld = kl_divergence(a, b),
                                  .same_top = argmax(a) == argmax(b),
                                  .text = item.text};
        all.add(row);
        quality_->largest_kld = std::max(quality_->largest_kld, row.kld);
        quality_->positions.push_back(row);
        if (!item.text) continue;
        texts.add(row);
        const auto next = static_cast<std::size_t>(row.position + 1);
        if (next < item.prompt.input_ids.size()) texts.add_next(a, b, item.prompt.input_ids[next]);
      }
      sequences += item.text ? 1 : 0;
      logits.add(mine, theirs);
      for (std::size_t layer = 0; layer < layers.size(); ++layer)
        layers[layer].add(found[i].hidden[layer].values<float>(), ideal_[i].hidden[layer].values<float>());
    }
    quality_->mean_kld = all.kld();
    quality_->top1_agreement = all.top1_agreement();
    if (sequences > 0)
      quality_->text = {.sequences = sequences,
                        .positions = texts.positions(),
                        .kld = texts.kld(),
                        .top1_agreement = texts.top1_agreement(),
                        .nll_checkpoint = texts.nll_checkpoint(),
                        .nll_package = texts.nll_package()};
    add_component("logits", logits);
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      quality_->layers.push_back(
          {fmt::format("layer {}", layer), layers[layer].cosine(), layers[layer].relative_error()});
    if (!std::isfinite(quality_->mean_kld))
      quality_->findings.emplace_back("the package's logits are not all finite");
    else if (request_.max_kld && quality_->mean_kld > *request_.max_kld)
      quality_->findings.push_back(
          fmt::format("the mean KL divergence is {:.3g} nats, more than the {:.3g} of --max-kld", quality_->mean_kld,
                      *request_.max_kld));
  }

  void compare(const VerifyCase& item, const std::string& value, std::span<const float> found,
               std::span<const float> expected) {
    if (!numerics_) return;
    const double error = scaled_error(found, expected);
    numerics_->rows.push_back({item.name, value, error});
    if (!(error <= request_.tolerance))
      numerics_->findings.push_back(fmt::format("{}: {} is off by {:.2g}, more than the tolerance {:.2g}", item.name,
                                                value, error, request_.tolerance));
  }

  void add_component(const std::string& value, const Likeness& likeness) {
    if (quality_) quality_->components.push_back({value, likeness.cosine(), likeness.relative_error()});
  }

  const NumbersRequest& request_;
  std::span<const VerifyCase> own_cases_;
  NumericsCheck* numerics_;
  QualityCheck* quality_;
  PackageRun package_;
  Results exact_;  ///< with the package's weights
  Results ideal_;  ///< with the checkpoint's; of the user's texts too
  std::vector<HostTensor> exact_embeds_;
  std::vector<HostTensor> chain_features_;  ///< what the shipped graphs hand on
  std::vector<HostTensor> chain_embeds_;
};

}  // namespace

void check_numbers(const NumbersRequest& request, NumericsCheck* numerics, QualityCheck* quality) {
  NumbersRun(request, numerics, quality).run();
}

}  // namespace q3vl
