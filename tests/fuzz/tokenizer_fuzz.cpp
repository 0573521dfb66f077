// The documents of tokenizer.json and tokenizer_config.json, as members of one object: the check of special tokens, and
// the detokenizer. The texts of tokens are held against the byte-level alphabet, written down once more here.
#include <array>
#include <map>

#include "base/json.h"
#include "fuzz.h"
#include "package/tokenizer_contract.h"
#include "runtime/detokenizer.h"

namespace {

using q3vl::Json;
using q3vl::fuzz::accepts;
using q3vl::fuzz::expect;

/// What onnxruntime-genai is told of the model.
const Json& model() {
  static const Json document = {{"vision", Json::object()},   {"image_token_id", 12}, {"video_token_id", 13},
                                {"vision_start_token_id", 9}, {"bos_token_id", 3},    {"eos_token_id", {2, 3}},
                                {"pad_token_id", 3}};
  return document;
}

/// Bytes in the alphabet of GPT-2: printable ones of Latin-1 are themselves, the others U+0100 and on, in order.
std::string in_alphabet(const std::string& bytes) {
  static const std::array<std::string, 256> characters = [] {
    std::array<std::string, 256> all;
    unsigned next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool itself = (byte > ' ' && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
      const unsigned point = itself ? byte : next++;
      if (point < 0x80)
        all[byte] = {static_cast<char>(point)};
      else
        all[byte] = {static_cast<char>(0xc0 + point / 64), static_cast<char>(0x80 + point % 64)};
    }
    return all;
  }();
  std::string text;
  for (const char byte : bytes) text += characters[static_cast<unsigned char>(byte)];
  return text;
}

/// Tokens of the vocabulary whose ids no other token has.
std::map<std::int64_t, std::string> lone_tokens(const Json& tokenizer) {
  std::map<std::int64_t, std::string> tokens;
  std::map<std::int64_t, int> uses;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) {
    tokens[id.get<std::int64_t>()] = token;
    ++uses[id.get<std::int64_t>()];
  }
  if (tokenizer.contains("added_tokens"))
    for (const Json& added : tokenizer["added_tokens"]) ++uses[added["id"].get<std::int64_t>()];
  std::erase_if(tokens, [&](const auto& entry) { return uses[entry.first] > 1; });
  return tokens;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Json documents;
  if (!accepts([&] { documents = q3vl::parse_json(q3vl::fuzz::text(data, size), "input"); }) || !documents.is_object())
    return 0;
  const Json& tokenizer = documents["tokenizer.json"];
  const Json& config = documents["tokenizer_config.json"];
  q3vl::Findings findings;
  if (tokenizer.is_object())
    accepts([&] { q3vl::check_special_tokens(tokenizer, config.is_object() ? &config : nullptr, model(), findings); });
  accepts([&] {
    const q3vl::Detokenizer detokenizer(tokenizer, "tokenizer.json");
    for (const auto& [id, token] : lone_tokens(tokenizer)) {
      const std::string text = detokenizer.decode(std::array{id});
      expect(in_alphabet(text) == token, "a token stands for the bytes that the alphabet writes as it");
    }
    detokenizer.decode(std::array{std::int64_t{-1}});
    q3vl::fuzz::report("a token that nobody has was decoded");
  });
  return 0;
}
