#include "synth/synth_files.h"

#include <fmt/format.h>

#include <algorithm>

namespace q3vl {
namespace {

OrderedJson text_config_json(const SynthModel& model, DataType type, RopeDialect dialect) {
  const TextConfig& text = model.text;
  OrderedJson rope = {{"mrope_interleaved", true}, {"mrope_section", text.mrope_section}, {"rope_type", "default"}};
  OrderedJson json = {{"attention_bias", false},
                      {"attention_dropout", 0.0},
                      {"bos_token_id", model.token_id("<|endoftext|>")},
                      {"dtype", name_of(type)},
                      {"eos_token_id", model.token_id("<|im_end|>")},
                      {"head_dim", text.head_dim},
                      {"hidden_act", "silu"},
                      {"hidden_size", text.hidden_size},
                      {"initializer_range", 0.02},
                      {"intermediate_size", text.intermediate_size},
                      {"max_position_embeddings", text.max_position_embeddings},
                      {"model_type", "qwen3_vl_text"},
                      {"num_attention_heads", text.num_attention_heads},
                      {"num_hidden_layers", text.num_hidden_layers},
                      {"num_key_value_heads", text.num_key_value_heads},
                      {"rms_norm_eps", text.rms_norm_eps}};
  if (dialect == RopeDialect::rope_parameters) {
    rope["rope_theta"] = text.rope_theta;
    json["rope_parameters"] = rope;
  } else {
    json["rope_scaling"] = rope;
    json["rope_theta"] = text.rope_theta;
    json["tie_word_embeddings"] = text.tie_word_embeddings;
  }
  json["use_cache"] = true;
  json["vocab_size"] = text.vocab_size;
  return json;
}

OrderedJson vision_config_json(const VisionConfig& vision) {
  return {{"deepstack_visual_indexes", vision.deepstack_visual_indexes},
          {"depth", vision.depth},
          {"hidden_act", "gelu_pytorch_tanh"},
          {"hidden_size", vision.hidden_size},
          {"in_channels", vision.in_channels},
          {"initializer_range", 0.02},
          {"intermediate_size", vision.intermediate_size},
          {"model_type", "qwen3_vl"},
          {"num_heads", vision.num_heads},
          {"num_position_embeddings", vision.num_position_embeddings},
          {"out_hidden_size", vision.out_hidden_size},
          {"patch_size", vision.patch_size},
          {"spatial_merge_size", vision.spatial_merge_size},
          {"temporal_patch_size", vision.temporal_patch_size}};
}

OrderedJson patch_settings_json(const SynthModel& model, std::int64_t shortest_edge, std::int64_t longest_edge) {
  const std::vector<double> half(static_cast<std::size_t>(model.vision.in_channels), 0.5);
  return {{"size", {{"longest_edge", longest_edge}, {"shortest_edge", shortest_edge}}},
          {"patch_size", model.vision.patch_size},
          {"temporal_patch_size", model.vision.temporal_patch_size},
          {"merge_size", model.vision.spatial_merge_size},
          {"image_mean", half},
          {"image_std", half},
          {"processor_class", "Qwen3VLProcessor"}};
}

std::string utf8(unsigned code_point) {  // below U+0800, enough for the byte alphabet
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3f))};
}

/// The 256 characters that stand for bytes in a byte-level vocabulary, in the order of GPT-2's ids: first the bytes
/// that print as themselves, then the others, moved to U+0100 and up.
std::vector<std::string> byte_alphabet() {
  const auto prints = [](unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  };
  std::vector<std::string> alphabet;
  for (unsigned byte = 0; byte < 256; ++byte)
    if (prints(byte)) alphabet.push_back(utf8(byte));
  for (unsigned moved = 0; alphabet.size() < 256; ++moved) alphabet.push_back(utf8(0x100 + moved));
  return alphabet;
}

/// "Ġ" stands for a space. Each pair's parts are bytes or results of pairs before it.
constexpr std::array<std::array<std::string_view, 2>, 17> kMerges = {{{"Ġ", "t"},
                                                                      {"Ġ", "a"},
                                                                      {"h", "e"},
                                                                      {"i", "n"},
                                                                      {"r", "e"},
                                                                      {"o", "n"},
                                                                      {"Ġt", "he"},
                                                                      {"e", "r"},
                                                                      {"Ġ", "s"},
                                                                      {"a", "t"},
                                                                      {"in", "g"},
                                                                      {"Ġ", "i"},
                                                                      {"Ġi", "s"},
                                                                      {"u", "s"},
                                                                      {"us", "er"},
                                                                      {"e", "n"},
                                                                      {"Ġa", "n"}}};

bool is_special(std::size_t added_token) {
  return added_token < kQwenSpecialTokens;
}

/// The flags that tokenizer.json and tokenizer_config.json both give an added token.
OrderedJson added_token_json(std::size_t index) {
  return {{"content", kQwenAddedTokens[index]},
          {"lstrip", false},
          {"normalized", false},
          {"rstrip", false},
          {"single_word", false},
          {"special", is_special(index)}};
}

OrderedJson byte_level_json() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
}

}  // namespace

OrderedJson config_json(const SynthModel& model, DataType type, RopeDialect dialect) {
  return {{"architectures", OrderedJson::array({"Qwen3VLForConditionalGeneration"})},
          {"image_token_id", model.token_id("<|image_pad|>")},
          {"model_type", "qwen3_vl"},
          {"text_config", text_config_json(model, type, dialect)},
          {"tie_word_embeddings", model.text.tie_word_embeddings},
          {"transformers_version", dialect == RopeDialect::rope_parameters ? "5.12.1" : "4.57.0.dev0"},
          {"video_token_id", model.token_id("<|video_pad|>")},
          {"vision_config", vision_config_json(model.vision)},
          {"vision_end_token_id", model.token_id("<|vision_end|>")},
          {"vision_start_token_id", model.token_id("<|vision_start|>")}};
}

OrderedJson generation_config_json(const SynthModel& model) {
  const std::int64_t end_of_text = model.token_id("<|endoftext|>");
  return {{"bos_token_id", end_of_text},
          {"pad_token_id", end_of_text},
          {"do_sample", true},
          {"eos_token_id", {model.token_id("<|im_end|>"), end_of_text}},
          {"top_k", 20},
          {"top_p", 0.8},
          {"repetition_penalty", 1.0},
          {"temperature", 0.7},
          {"transformers_version", "4.56.0"}};
}

OrderedJson preprocessor_config_json(const SynthModel& model) {
  OrderedJson json = patch_settings_json(model, 65536, 16777216);
  json["image_processor_type"] = "Qwen2VLImageProcessorFast";
  return json;
}

OrderedJson video_preprocessor_config_json(const SynthModel& model) {
  OrderedJson json = patch_settings_json(model, 4096, 25165824);
  json["video_processor_type"] = "Qwen3VLVideoProcessor";
  return json;
}

OrderedJson tokenizer_json(const SynthModel& model) {
  const auto added = static_cast<std::int64_t>(kQwenAddedTokens.size());
  if (model.first_added_token < 256 || model.first_added_token + added > model.text.vocab_size)
    throw Error(ErrorKind::usage,
                fmt::format("the added tokens would take the ids {} to {}; they must lie above the 256 bytes and below "
                            "vocab_size, {}",
                            model.first_added_token, model.first_added_token + added - 1, model.text.vocab_size));
  OrderedJson vocabulary = OrderedJson::object();
  for (const std::string& character : byte_alphabet()) vocabulary.emplace(character, vocabulary.size());
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : kMerges) {
    if (static_cast<std::int64_t>(vocabulary.size()) == model.first_added_token) break;
    merges.push_back({left, right});
    vocabulary.emplace(fmt::format("{}{}", left, right), vocabulary.size());
  }
  OrderedJson added_tokens = OrderedJson::array();
  for (std::size_t i = 0; i < kQwenAddedTokens.size(); ++i) {
    OrderedJson token = {{"id", model.first_added_token + static_cast<std::int64_t>(i)}};
    token.update(added_token_json(i));
    added_tokens.push_back(token);
  }
  // Qwen's rule for cutting text into words before the merges.
  const OrderedJson split = {
      {"type", "Split"},
      {"pattern",
       {{"Regex", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
                  R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"}}},
      {"behavior", "Isolated"},
      {"invert", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({split, byte_level_json()})}}},
          {"post_processor", byte_level_json()},
          {"decoder", byte_level_json()},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary},
            {"merges", merges}}}};
}

OrderedJson tokenizer_config_json(const SynthModel& model) {
  OrderedJson decoder = OrderedJson::object();
  OrderedJson additional = OrderedJson::array();
  for (std::size_t i = 0; i < kQwenAddedTokens.size(); ++i) {
    decoder[std::to_string(model.first_added_token + static_cast<std::int64_t>(i))] = added_token_json(i);
    if (is_special(i) && i > 0) additional.push_back(kQwenAddedTokens[i]);  // the first is the pad token
  }
  return {{"add_bos_token", false},
          {"add_prefix_space", false},
          {"added_tokens_decoder", decoder},
          {"additional_special_tokens", additional},
          {"bos_token", nullptr},
          {"chat_template", chat_template()},
          {"clean_up_tokenization_spaces", false},
          {"eos_token", "<|im_end|>"},
          {"errors", "replace"},
          {"model_max_length", model.text.max_position_embeddings},
          {"pad_token", "<|endoftext|>"},
          {"split_special_tokens", false},
          {"tokenizer_class", "Qwen2Tokenizer"},
          {"unk_token", nullptr}};
}

std::string chat_template() {
  return R"({%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {%- if part.type == 'image' or 'image' in part or 'image_url' in part %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
            {%- elif part.type == 'video' or 'video' in part %}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' }}
            {%- elif 'text' in part %}
                {{- part.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
)";
}

}  // namespace q3vl
