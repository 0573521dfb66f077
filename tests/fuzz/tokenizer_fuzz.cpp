// The documents of tokenizer.json and tokenizer_config.json, as members of one object, with a text: the check of
// special tokens, and the tokenizer on the text and on the input itself. The bytes of tokens are held against the
// byte-level alphabet, written down once more here.
#include <array>

#include "base/json.h"
#include "fuzz.h"
#include "package/tokenizer_contract.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

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
std::string in_alphabet(std::string_view bytes) {
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

void check_vocabulary(const q3vl::Tokenizer& tokenizer, const Json& document) {
  for (const auto& [token, id] : document["model"]["vocab"].items()) {
    expect(tokenizer.id_of(token) == id, "a token has the id of the vocabulary");
    expect(in_alphabet(tokenizer.bytes_of(id, false)) == token,
           "a token stands for the bytes that the alphabet writes as it");
  }
  accepts([&] {
    tokenizer.decode(std::array{std::int64_t{-1}}, false);
    q3vl::fuzz::report("a token that nobody has was decoded");
  });
}

/// `text`, any bytes, to ids and back, at once and one by one.
void check_text(const q3vl::Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int64_t> ids;
  if (!accepts([&] { ids = tokenizer.encode(text); })) return;
  const std::string decoded = tokenizer.decode(ids, false);
  expect(decoded == q3vl::replace_ill_formed(decoded), "a decoded text is well-formed UTF-8");
  q3vl::StreamDecoder stream(tokenizer, false);
  std::string pieces;
  for (const std::int64_t id : ids) {
    const std::string piece = stream.append(id);
    expect(piece == q3vl::replace_ill_formed(piece), "a stream hands out whole characters");
    pieces += piece;
  }
  expect(pieces + stream.finish() == decoded, "a stream's pieces are the text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Json documents;
  if (!accepts([&] { documents = q3vl::parse_json(q3vl::fuzz::text(data, size), "input"); }) || !documents.is_object())
    return 0;
  const Json& tokenizer = documents["tokenizer.json"];
  q3vl::Findings findings;
  if (tokenizer.is_object()) accepts([&] { q3vl::check_special_tokens(tokenizer, model(), findings); });
  accepts([&] {
    const q3vl::Tokenizer read(tokenizer, "tokenizer.json");
    check_vocabulary(read, tokenizer);
    // The input itself is a text as good as any: it has the tokens' spellings.
    check_text(read, q3vl::fuzz::text(data, size));
    if (documents["text"].is_string()) check_text(read, documents["text"].get<std::string>());
  });
  return 0;
}
