// The story of a round: the memory's speed, the graphs loaded, pictures, prompts and tokens timed.
#include "qwen3vl_export/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <tuple>

#include "base/median.h"
#include "base/parallel.h"
#include "base/proc_file.h"
#include "onnx/lone_matrices.h"
#include "onnx/model_summary.h"
#include "pipeline/bandwidth.h"
#include "pipeline/process.h"
#include "runtime/pipeline.h"

namespace q3vl {
namespace {

constexpr std::int64_t kWarmUpTokens = 8;
constexpr std::int64_t kTextBesidePicture = 16;  // where the picture does not leave room for any
constexpr std::int64_t kLargestId = 1000;        // tokens beyond may be special

/// What a round does, settled before anything is loaded.
struct BenchPlan {
  PackageConfig config;
  CacheMode cache;
  std::vector<Grid> grids;             ///< of the pictures; none in a text-only package
  std::vector<std::int64_t> text_ids;  ///< that prompts are made of
};

/// The grid of a still picture of `patches`, as square as possible.
Grid grid_of(std::int64_t patches, std::int64_t merge) {
  if (patches < 1 || patches % (merge * merge) != 0)
    throw Error(ErrorKind::usage,
                fmt::format("--patches {}: no picture has so many: {} × {} patches become one token, so expected a "
                            "multiple of {}",
                            patches, merge, merge, merge * merge));
  const std::int64_t cells = patches / (merge * merge);
  auto rows = static_cast<std::int64_t>(std::sqrt(static_cast<double>(cells)));
  while (cells % rows != 0) --rows;
  return {1, rows * merge, cells / rows * merge};
}

/// Small ids without those that stand for pictures.
std::vector<std::int64_t> text_ids(const PackageConfig& config) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(std::min(config.vocab_size, kLargestId)));
  std::iota(ids.begin(), ids.end(), 0);
  if (config.pictures) {
    const PromptTokens& tokens = config.pictures->tokens;
    for (const std::int64_t special : {tokens.image_token_id, tokens.video_token_id, tokens.vision_start_token_id})
      std::erase(ids, special);
  }
  if (ids.empty())
    throw Error(ErrorKind::bad_input, fmt::format("{}: the vocabulary of {} has no token of text",
                                                  config.decoder.file.string(), config.vocab_size));
  return ids;
}

/// What is named twice would have two measurements of one name.
void expect_once(const char* option, std::vector<std::int64_t> values) {
  std::ranges::sort(values);
  if (const auto twice = std::ranges::adjacent_find(values); twice != values.end())
    throw Error(ErrorKind::usage, fmt::format("{} names {} twice", option, *twice));
}

BenchPlan plan_of(const BenchRequest& request) {
  expect_once("--patches", request.patches);
  expect_once("--prompts", request.prompts);
  BenchPlan plan{.config = read_package_config(request.package), .cache = {}, .grids = {}, .text_ids = {}};
  plan.cache = cache_mode(request.cache, default_cache(plan.config));
  plan.text_ids = text_ids(plan.config);
  if (plan.config.pictures)
    for (const std::int64_t patches : request.patches)
      plan.grids.push_back(grid_of(patches, plan.config.pictures->tokens.spatial_merge_size));
  return plan;
}

/// Bytes of the weights outside of the model file that a call reads whole; those that several initializers refer to
/// count once.
std::uint64_t bytes_read(const std::filesystem::path& model) {
  std::set<std::tuple<std::string, std::uint64_t, std::uint64_t>> ranges;
  for (const InitializerSummary& item : read_model_summary(model).initializers)
    if (item.external && !item.looked_up)
      ranges.emplace(item.external->location, item.external->offset, item.external->length);
  std::uint64_t total = 0;
  for (const auto& [location, offset, length] : ranges) total += length;
  return total;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double per_second(std::int64_t count, double seconds) {
  return static_cast<double>(count) / seconds;
}

class Round {
 public:
  Round(const BenchRequest& request, BenchPlan plan)
      : request_(request),
        plan_(std::move(plan)),
        bandwidth_(read_bandwidth(request.threads > 0 ? request.threads : available_processors())),
        runtime_(request.onnxruntime.empty() ? OnnxRuntime::default_library() : request.onnxruntime),
        weight_bytes_(bytes_read(config_.decoder.file)),
        pipeline_(load_package()),
        loaded_memory_(resident_memory()) {}

  BenchRound run() {
    for (const Grid& grid : plan_.grids) measure_picture(grid);
    KvCache warm_up = make_cache(kWarmUpTokens);
    feed_text(kWarmUpTokens, warm_up);
    for (const std::int64_t length : request_.prompts) measure_text(length);
    if (!plan_.grids.empty()) measure_first_token(plan_.grids.front(), request_.prompts.front());
    if (request_.matrices) measure_matrices();
    return {.processor = processor_name(),
            .processors = available_processors(),
            .onnxruntime = runtime_.version(),
            .cache = plan_.cache == CacheMode::shared ? "shared" : "growing",
            .weight_bytes = weight_bytes_,
            .cache_bytes_per_token = static_cast<std::uint64_t>(pipeline_.decoder().cache_bytes_per_token()),
            .bandwidth = bandwidth_,
            .measurements = std::move(measurements_)};
  }

 private:
  Session load(const std::string& graph, const std::filesystem::path& file) {
    std::optional<Session> session;
    const double seconds =
        seconds_of([&] { session.emplace(runtime_, file, SessionOptions{.intra_op_threads = request_.threads}); });
    BenchMeasurement& found = add("load");
    found.graph = graph;
    found.numbers = {{"seconds", seconds}, {"resident_bytes", static_cast<double>(resident_memory())}};
    return *std::move(session);
  }

  Pipeline load_package() {
    std::optional<Session> vision;
    std::optional<Session> embedding;
    if (config_.pictures) {
      vision = load("vision", config_.pictures->vision_file);
      embedding = load("embedding", config_.pictures->embedding_file);
    }
    return {config_, load("model", config_.decoder.file), std::move(vision), std::move(embedding)};
  }

  BenchMeasurement& add(const std::string& phase) {
    return measurements_.emplace_back(
        BenchMeasurement{.phase = phase, .graph = {}, .patches = 0, .prompt = 0, .tokens = 0, .numbers = {}});
  }

  /// What the phase took beyond the loaded graphs.
  void add_memory(BenchMeasurement& measurement, const PeakMemory& peak) const {
    if (const std::optional<std::uint64_t> bytes = peak.bytes())
      measurement.numbers.push_back({"memory_bytes", static_cast<double>(*bytes - std::min(*bytes, loaded_memory_))});
  }

  /// Values like those of a normalised picture's pixels.
  Patches random_picture(const Grid& grid) {
    const ImageConfig& image = config_.pictures->image;
    constexpr std::int64_t kChannels = 3;
    Patches picture{.pixel_values = {}, .grid = grid};
    picture.pixel_values.resize(static_cast<std::size_t>(grid.patches() * kChannels * image.temporal_patch_size *
                                                         image.patch_size * image.patch_size));
    std::uniform_real_distribution<float> value(-1, 1);
    for (float& pixel : picture.pixel_values) pixel = value(random_);
    return picture;
  }

  std::vector<std::int64_t> random_text(std::int64_t length) {
    std::uniform_int_distribution<std::size_t> place(0, plan_.text_ids.size() - 1);
    std::vector<std::int64_t> ids(static_cast<std::size_t>(length));
    for (std::int64_t& id : ids) id = plan_.text_ids[place(random_)];
    return ids;
  }

  KvCache make_cache(std::int64_t capacity) const { return pipeline_.decoder().make_cache(plan_.cache, 1, capacity); }

  /// The text decoder's call, and before it that of the embedding: `ids` behind what the cache holds, at `positions`
  /// [3, 1, S] (text-only: [1, S]).
  void feed(const std::vector<std::int64_t>& ids, const HostTensor& features,
            const std::vector<std::int64_t>& positions, KvCache& cache) const {
    const auto count = static_cast<std::int64_t>(ids.size());
    const std::int64_t length = cache.length + count;
    HostTensor tokens = HostTensor::of({1, count}, ids);
    if (!pipeline_.text_only()) tokens = pipeline_.embed(tokens, features);
    const std::vector<std::int64_t> mask(static_cast<std::size_t>(length), 1);
    const Shape shape = pipeline_.text_only() ? Shape{1, count} : Shape{3, 1, count};
    pipeline_.decoder().decode(tokens, HostTensor::of({1, length}, mask), HostTensor::of(shape, positions), cache);
  }

  /// Random text of that length behind what the cache holds, which is text too. Returns the seconds.
  double feed_text(std::int64_t length, KvCache& cache) {
    const std::vector<std::int64_t> ids = random_text(length);
    std::vector<std::int64_t> positions;
    for (int axis = 0; axis < (pipeline_.text_only() ? 1 : 3); ++axis)
      for (std::int64_t i = 0; i < length; ++i) positions.push_back(cache.length + i);
    const HostTensor no_features = pipeline_.text_only() ? HostTensor{} : pipeline_.encode_images({});
    return seconds_of([&] { feed(ids, no_features, positions, cache); });
  }

  void measure_picture(const Grid& grid) {
    const Patches picture = random_picture(grid);
    const PeakMemory peak;
    pipeline_.encode_images({&picture, 1});
    std::vector<double> times(static_cast<std::size_t>(request_.repeats));
    for (double& time : times) time = seconds_of([&] { pipeline_.encode_images({&picture, 1}); });
    BenchMeasurement& found = add("vision");
    found.patches = grid.patches();
    const double seconds = median(times);
    found.numbers = {{"seconds", seconds}, {"patches_per_second", per_second(grid.patches(), seconds)}};
    add_memory(found, peak);
  }

  void measure_text(std::int64_t length) {
    const PeakMemory peak;
    std::vector<double> times;
    std::optional<KvCache> cache;
    for (int i = 0; i < request_.repeats; ++i) {
      cache.reset();  // before the next one takes its room
      cache = make_cache(length + request_.tokens);
      times.push_back(feed_text(length, *cache));
    }
    BenchMeasurement& found = add("prompt");
    found.prompt = length;
    const double seconds = median(times);
    found.numbers = {{"seconds", seconds}, {"tokens_per_second", per_second(length, seconds)}};
    add_memory(found, peak);
    measure_steps(length, *cache);
  }

  void measure_steps(std::int64_t prompt, KvCache& cache) {
    const PeakMemory peak;
    std::vector<double> times;
    for (std::int64_t i = 0; i < request_.tokens; ++i) times.push_back(feed_text(1, cache));
    BenchMeasurement& found = add("decode");
    found.prompt = prompt;
    found.tokens = request_.tokens;
    const double seconds = std::accumulate(times.begin(), times.end(), 0.0);
    const double rate = per_second(request_.tokens, seconds);
    // The first step reads the keys and values of prompt + 1 tokens, the last of prompt + tokens.
    const double cache_length = static_cast<double>(2 * prompt + request_.tokens + 1) / 2;
    const double bytes = static_cast<double>(weight_bytes_) +
                         cache_length * static_cast<double>(pipeline_.decoder().cache_bytes_per_token());
    found.numbers = {{"seconds", seconds},
                     {"step_seconds", median(times)},
                     {"tokens_per_second", rate},
                     {"read_bytes", bytes},
                     {"bound_tokens_per_second", bandwidth_ / bytes},
                     {"percent_of_bound", 100 * rate * bytes / bandwidth_}};
    add_memory(found, peak);
  }

  /// From a picture and a prompt around it to the logits of the first token.
  void measure_first_token(const Grid& grid, std::int64_t length) {
    const PromptTokens& tokens = config_.pictures->tokens;
    const std::int64_t places = grid.patches() / (tokens.spatial_merge_size * tokens.spatial_merge_size);
    if (length < 1 + places) length = places + kTextBesidePicture;
    const Prompt prompt{.input_ids = prompt_ids(places, length), .pictures = {{random_picture(grid)}}};
    const PeakMemory peak;
    std::vector<double> times;
    for (int i = 0; i < request_.repeats; ++i) {
      KvCache cache = make_cache(length + request_.tokens);
      times.push_back(seconds_of([&] {
        const HostTensor features = pipeline_.encode_images({&prompt.pictures.front().patches, 1});
        feed(prompt.input_ids, features, prompt_positions(tokens, prompt).ids, cache);
      }));
    }
    BenchMeasurement& found = add("first_token");
    found.patches = grid.patches();
    found.prompt = length;
    found.numbers = {{"seconds", median(times)}};
    add_memory(found, peak);
  }

  /// The decoder's matrices by themselves, one row each, and which part of each step they are.
  void measure_matrices() {
    const LoneMatrices alone = lone_matrices(config_.decoder.file);
    const Session session(runtime_, alone.model, config_.decoder.file.parent_path(),
                          config_.decoder.file.filename().string() + "'s matrices",
                          {.intra_op_threads = request_.threads});
    NamedTensors inputs;
    for (const LoneMatrices::Input& input : alone.inputs) {
      Shape shape = input.leading;
      shape.insert(shape.end(), {1, input.width});
      inputs[input.name] = HostTensor::zeros(input.type, shape);
    }
    session.run(inputs);
    std::vector<double> times(static_cast<std::size_t>(request_.tokens));
    for (double& time : times) time = seconds_of([&] { session.run(inputs); });
    const double step = median(times);
    for (BenchMeasurement& measurement : measurements_)
      if (measurement.phase == "decode")
        measurement.numbers.push_back({"percent_of_matrices", 100 * step / number(measurement, "step_seconds")});
    BenchMeasurement& found = add("matrices");
    found.tokens = request_.tokens;
    const double seconds = std::accumulate(times.begin(), times.end(), 0.0);
    found.numbers = {
        {"seconds", seconds}, {"step_seconds", step}, {"tokens_per_second", per_second(request_.tokens, seconds)}};
  }

  static double number(const BenchMeasurement& measurement, const std::string& name) {
    return std::ranges::find(measurement.numbers, name, &BenchNumber::name)->value;
  }

  /// A picture of `places` tokens, and text behind it, `length` tokens in all.
  std::vector<std::int64_t> prompt_ids(std::int64_t places, std::int64_t length) {
    std::vector<std::int64_t> ids = {config_.pictures->tokens.vision_start_token_id};
    ids.insert(ids.end(), static_cast<std::size_t>(places), config_.pictures->tokens.image_token_id);
    const std::vector<std::int64_t> text = random_text(length - 1 - places);
    ids.insert(ids.end(), text.begin(), text.end());
    return ids;
  }

  const BenchRequest& request_;
  BenchPlan plan_;
  const PackageConfig& config_ = plan_.config;
  std::mt19937 random_{0};  // the same numbers in every round
  std::vector<BenchMeasurement> measurements_;
  double bandwidth_;  // measured before anything is loaded
  OnnxRuntime runtime_;
  std::uint64_t weight_bytes_;
  Pipeline pipeline_;
  std::uint64_t loaded_memory_;
};

}  // namespace

bool BenchMeasurement::is_as(const BenchMeasurement& other) const {
  const auto key = [](const BenchMeasurement& m) { return std::tie(m.phase, m.graph, m.patches, m.prompt, m.tokens); };
  return key(*this) == key(other);
}

void check_bench(const BenchRequest& request) {
  plan_of(request);
}

BenchRound bench_round(const BenchRequest& request) {
  return Round(request, plan_of(request)).run();
}

}  // namespace q3vl
