// The story of an answer: pictures to patches, the question to tokens, features, and token by token the answer.
#include "qwen3vl_export/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "backend/tensor_backend.h"
#include "base/file.h"
#include "base/parallel.h"
#include "chat/template_source.h"
#include "config/model_config.h"
#include "image/model_image.h"
#include "pipeline/checkpoint_folder.h"
#include "pipeline/process.h"
#include "runtime/pipeline.h"
#include "runtime/prompter.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

SamplingSettings sampling_of(const RunRequest& request, SamplingSettings settings) {
  const bool told = request.temperature || request.top_k || request.top_p;
  if (request.greedy && told)
    throw Error(ErrorKind::usage,
                "--greedy takes the likeliest token; --temperature, --top-k and --top-p do not fit it");
  if (request.temperature) settings.temperature = *request.temperature;
  if (request.top_k) settings.top_k = *request.top_k;
  if (request.top_p) settings.top_p = *request.top_p;
  settings.do_sample = !request.greedy && settings.temperature > 0 && (told || settings.do_sample);
  return settings;
}

/// The files of a folder of frames, by name.
std::vector<fs::path> frames_in(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is not a folder; expected one with the frames of a video as PNG or JPEG files, in the "
                            "order of their names (ffmpeg -i video.mp4 -vf fps=2 frames/%05d.png makes one)",
                            folder.string()));
  std::vector<fs::path> frames;
  for (const std::string& name : names_in(folder))
    if (!name.starts_with('.')) frames.push_back(folder / name);
  std::ranges::sort(frames);
  if (frames.empty()) throw Error(ErrorKind::bad_input, fmt::format("{}: has no frames", folder.string()));
  return frames;
}

Question question_of(const RunRequest& request, const PackageConfig& config) {
  if (!config.pictures && !(request.images.empty() && request.videos.empty()))
    throw Error(ErrorKind::usage,
                fmt::format("{}: is a text-only package, which sees no pictures", request.package.string()));
  Question question{.text = request.prompt, .system = request.system, .whole_prompt = request.raw};
  if (request.raw && !request.system.empty())
    throw Error(ErrorKind::usage, "--raw takes the prompt as it is; --system does not fit it");
  for (const fs::path& path : request.images)
    question.images.push_back(read_model_image(path, config.pictures->image, config.pictures->image.max_pixels));
  for (const fs::path& folder : request.videos)
    question.clips.push_back({read_model_clip(frames_in(folder), config.pictures->video), request.fps});
  return question;
}

/// The pictures through the visual tower of the checkpoint, by the LibTorch reference.
HostTensor checkpoint_features(const RunRequest& request, const PackageConfig& config,
                               const std::vector<Patches>& pictures) {
  const ModelConfig model = read_checkpoint_config(request.checkpoint);
  if (!model.vision || model.features_width() != config.decoder.hidden_size)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: its features are {} wide, expected {} as {} takes them; it is not the checkpoint that "
                            "the package was made from",
                            request.checkpoint.string(), model.vision ? model.features_width() : 0,
                            config.decoder.hidden_size, request.package.string()));
  const Checkpoint checkpoint = open_checkpoint(request.checkpoint, model);
  const int threads = request.threads > 0 ? request.threads : available_processors();
  return tensor_backend().image_features(model, pictures, checkpoint_weights(checkpoint, threads), threads);
}

/// Which runtime the visual tower has.
bool by_libtorch(const RunRequest& request) {
  if (request.vision_runtime != "onnxruntime" && request.vision_runtime != "libtorch")
    throw Error(ErrorKind::usage,
                fmt::format("--vision-runtime is \"{}\", expected onnxruntime or libtorch", request.vision_runtime));
  const bool libtorch = request.vision_runtime == "libtorch";
  if (libtorch == request.checkpoint.empty())
    throw Error(ErrorKind::usage,
                libtorch ? "--vision-runtime libtorch needs the checkpoint whose visual tower it runs: --checkpoint DIR"
                         : "--checkpoint is for --vision-runtime libtorch alone");
  return libtorch;
}

}  // namespace

RunReport run_package(const RunRequest& request, const std::function<void(const std::string& text)>& on_text,
                      const ExportObserver& observer) {
  const bool libtorch = by_libtorch(request);
  const PackageConfig config = read_package_config(request.package);
  const CacheMode cache = cache_mode(request.cache, default_cache(config));
  const SamplingSettings sampling = sampling_of(request, config.sampling);
  const Prompter prompter(request.package, config);
  if (const auto chat = chat_template_of(request.package); !chat.disagreement.empty())
    observer.warning(chat.disagreement);
  const Prompt prompt = prompter.prompt(question_of(request, config));
  const auto prompt_tokens = static_cast<std::int64_t>(prompt.input_ids.size());
  const std::int64_t room = config.max_length - prompt_tokens;
  if (room < 1)
    throw Error(
        ErrorKind::usage,
        fmt::format("the prompt has {} tokens, but search.max_length in genai_config.json leaves room for {} of "
                    "prompt and answer; ask for less, or export with a larger --max-length",
                    prompt_tokens, config.max_length));
  std::vector<Patches> pictures;
  RunReport report{.answer = {},
                   .tokens = {},
                   .finish_reason = {},
                   .prompt_tokens = prompt_tokens,
                   .picture_tokens = 0,
                   .load_seconds = 0,
                   .vision_seconds = 0,
                   .first_token_seconds = 0,
                   .decode_seconds = 0,
                   .peak_memory_bytes = 0};
  for (const PromptPicture& picture : prompt.pictures) {
    pictures.push_back(picture.patches);
    report.picture_tokens += picture.patches.grid.tokens(config.pictures->image.merge_size);
  }
  observer.detail(fmt::format("the prompt has {} tokens, {} of them for {} pictures and clips", report.prompt_tokens,
                              report.picture_tokens, pictures.size()));

  auto start = Clock::now();
  const OnnxRuntime runtime(request.onnxruntime.empty() ? OnnxRuntime::default_library() : request.onnxruntime);
  const Pipeline pipeline(runtime, config, {.intra_op_threads = request.threads});
  report.load_seconds = seconds_since(start);
  throw_if_interrupted();

  start = Clock::now();
  HostTensor features;
  if (config.pictures)
    features = libtorch && !pictures.empty() ? checkpoint_features(request, config, pictures)
                                             : pipeline.encode_images(pictures);
  if (!pictures.empty()) report.vision_seconds = seconds_since(start);

  Sampler sampler(sampling, request.seed);
  StreamDecoder stream(prompter.tokenizer(), /*skip_special_tokens=*/true);
  const auto say = [&](const std::string& text) {
    report.answer += text;
    if (!text.empty()) on_text(text);
  };
  auto first = Clock::time_point{};
  const auto wanted = request.max_new_tokens > 0 ? std::min(request.max_new_tokens, room) : room;
  const Generation answer =
      pipeline.generate(prompt, features,
                        {.max_new_tokens = wanted,
                         .cache = cache,
                         .choose = [&](std::span<const float> logits,
                                       std::span<const std::int64_t> past) { return sampler.choose(logits, past); },
                         .on_token =
                             [&](std::int64_t token) {
                               if (first == Clock::time_point{}) {
                                 first = Clock::now();
                                 report.first_token_seconds = std::chrono::duration<double>(first - start).count();
                               }
                               say(stream.append(token));
                               throw_if_interrupted();
                             },
                         .keep_logits = false});
  say(stream.finish());
  report.decode_seconds = seconds_since(first);
  report.tokens = answer.tokens;
  const bool ended = std::ranges::find(config.eos_token_ids, answer.tokens.back()) != config.eos_token_ids.end();
  report.finish_reason = ended ? "stop" : "length";
  report.peak_memory_bytes = peak_memory();
  return report;
}

}  // namespace q3vl
