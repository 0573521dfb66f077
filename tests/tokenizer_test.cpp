// The tokenizer against what Hugging Face's made of texts, on the vocabulary of Qwen3 and on that of the small
// checkpoints, and by hand on vocabularies of a few tokens.
#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "support/refusal.h"
#include "support/temporary_folder.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/utf8.h"

namespace q3vl::tokenizer_test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using Ids = std::vector<std::int64_t>;

const std::filesystem::path kData = Q3VL_TEST_DATA_DIR;

/// Of Qwen3; tools/setup fetches it.
const Tokenizer& qwen3() {
  static const Tokenizer tokenizer{std::filesystem::path(Q3VL_QWEN3_TOKENIZER)};
  return tokenizer;
}

/// A tokenizer whose vocabulary has every byte, by its value, and then `tokens`; a word is what it is cut into by
/// `pattern`.
Json document(const std::vector<std::string>& tokens = {}, const std::vector<std::string>& merges = {},
              const std::string& pattern = "[^ ]+| +") {
  Json vocab = Json::object();
  for (std::size_t byte = 0; byte < 256; ++byte) vocab[byte_alphabet()[byte]] = byte;
  for (const std::string& token : tokens) vocab.emplace(token, vocab.size());
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"added_tokens", Json::array()},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", merges}}}};
}

Json added_token(std::int64_t id, const std::string& content, const Json& flags = Json::object()) {
  Json token = {{"id", id}, {"content", content}, {"special", true}};
  token.update(flags);
  return token;
}

Tokenizer tokenizer(const Json& json) {
  return {json, "t"};
}

/// The ids of bytes, in document().
Ids bytes(const std::string& text) {
  Ids ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TEST(Tokenizer, EncodesAsHuggingFaceOnQwen3) {
  const Json corpus = read_json_file(kData / "tokenizer/corpus.json");
  ASSERT_GE(corpus.at("cases").size(), 260U);
  for (const Json& item : corpus.at("cases"))
    EXPECT_EQ(qwen3().encode(item.at("text").get<std::string>()), item.at("ids").get<Ids>()) << item.at("text");
}

TEST(Tokenizer, DecodesAsHuggingFaceOnQwen3) {
  const Json corpus = read_json_file(kData / "tokenizer/corpus.json");
  for (const Json& item : corpus.at("cases")) {
    const Ids ids = item.at("ids").get<Ids>();
    EXPECT_EQ(qwen3().decode(ids, false), item.at("decoded")) << item.at("text");
    StreamDecoder stream(qwen3(), false);
    std::string text;
    for (const std::int64_t id : ids) {
      const std::string piece = stream.append(id);
      EXPECT_EQ(piece, replace_ill_formed(piece));
      text += piece;
    }
    EXPECT_EQ(text + stream.finish(), item.at("decoded"));
  }
}

/// Kinds of tokenizers that Qwen's is not.
TEST(Tokenizer, IsAsHuggingFaceOnOtherKinds) {
  const Json recorded = read_json_file(kData / "tokenizer/kinds.json");
  ASSERT_GE(recorded.at("kinds").size(), 4U);
  for (const Json& kind : recorded.at("kinds")) {
    const Tokenizer t(kind.at("tokenizer"), "t");
    ASSERT_GE(kind.at("cases").size(), 50U);
    for (const Json& item : kind.at("cases")) {
      const Ids ids = item.at("ids").get<Ids>();
      EXPECT_EQ(t.encode(item.at("text").get<std::string>()), ids) << kind.at("what") << ": " << item.at("text");
      EXPECT_EQ(t.decode(ids, false), item.at("decoded")) << kind.at("what") << ": " << item.at("text");
    }
  }
}

/// A run of equal ids as one: what a picture's placeholder was before it was expanded.
Ids without_repeats(Ids ids, std::int64_t id) {
  ids.erase(std::unique(ids.begin(), ids.end(), [id](std::int64_t a, std::int64_t b) { return a == b && a == id; }),
            ids.end());
  return ids;
}

TEST(Tokenizer, EncodesTheRecordedPrompts) {
  const Tokenizer small(kData / "shapes/checkpoint/tokenizer.json");
  const Json questions = read_json_file(kData / "shapes/questions.json");
  const std::int64_t image = small.id_of("<|image_pad|>").value(), video = small.id_of("<|video_pad|>").value();
  for (const Json& item : questions.at("questions"))
    EXPECT_EQ(small.encode(item.at("prompt").get<std::string>()),
              without_repeats(item.at("input_ids").get<Ids>(), image));
  // The processor writes a clip's frames into the prompt, with their times.
  for (const Json& item : questions.at("videos")) {
    const Ids ids = without_repeats(item.at("input_ids").get<Ids>(), video);
    EXPECT_EQ(small.encode(small.decode(ids, false)), ids);
  }
  EXPECT_GE(questions.at("questions").size(), 40U);
  EXPECT_GE(questions.at("videos").size(), 4U);
}

TEST(Tokenizer, DecodesTheRecordedAnswers) {
  const Tokenizer small(kData / "shapes/checkpoint/tokenizer.json");
  const Json questions = read_json_file(kData / "shapes/questions.json");
  for (const char* list : {"questions", "videos"})
    for (const Json& item : questions.at(list))
      EXPECT_EQ(small.decode(item.at("hf_fp32_ids").get<Ids>(), true), item.at("hf_fp32_answer"));
}

TEST(Tokenizer, GoesRoundOnAnyText) {
  std::string text;
  std::uint32_t random = 1;
  for (int i = 0; i < 20'000; ++i) {
    random = random * 1664525 + 1013904223;
    text.push_back(static_cast<char>(random >> 24));
  }
  const std::string well_formed = replace_ill_formed(text);
  EXPECT_EQ(qwen3().encode(text), qwen3().encode(well_formed));
  // Of the characters that such bytes make none is changed by NFC but these.
  const std::string found = qwen3().decode(qwen3().encode(text), false);
  EXPECT_EQ(qwen3().decode(qwen3().encode(found), false), found);
}

TEST(Tokenizer, TakesAMergeByItsRank) {
  const Tokenizer t = tokenizer(document({"bc", "ab", "abc"}, {"b c", "a b", "ab c"}));
  EXPECT_THAT(t.encode("abc"), ElementsAre('a', 256));  // "b c" comes first, and "a bc" is no merge
  EXPECT_THAT(t.encode("abab bc"), ElementsAre(257, 257, ' ', 256));
  // Of a pair that overlaps itself the leftmost one counts.
  EXPECT_THAT(tokenizer(document({"aa"}, {"a a"})).encode("aaa"), ElementsAre(256, 'a'));
  // No merge goes over a word's end.
  EXPECT_THAT(tokenizer(document({"aĠ"}, {"a Ġ"})).encode("a a"), ElementsAre('a', ' ', 'a'));
}

TEST(Tokenizer, ReadsBothSpellingsOfMerges) {
  Json json = document({"ab", "abĠ"}, {}, "[^x]+");
  json["model"]["merges"] = {{"a", "b"}, "ab Ġ"};
  EXPECT_THAT(tokenizer(json).encode("ab ab"), ElementsAre(257, 256));
}

TEST(Tokenizer, MayIgnoreMergesOfAWordThatIsAToken) {
  Json json = document({"ab", "abc"}, {"a b"});
  EXPECT_THAT(tokenizer(json).encode("abc abcc"), ElementsAre(256, 'c', ' ', 256, 'c', 'c'));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(tokenizer(json).encode("abc abcc"), ElementsAre(257, ' ', 256, 'c', 'c'));
}

TEST(Tokenizer, NormalizesToNfc) {
  EXPECT_EQ(tokenizer(document()).encode("e\u0301"), bytes("\u00e9"));
  Json json = document();
  json["normalizer"] = nullptr;
  EXPECT_EQ(tokenizer(json).encode("e\u0301"), bytes("e\u0301"));
}

TEST(Tokenizer, FindsAddedTokensFirst) {
  Json json = document({"<|"}, {"< |"}, "[^x]+");
  json["added_tokens"] = {added_token(300, "<|a|>"), added_token(301, "<|a|><|b|>"), added_token(302, "<|b|>"),
                          added_token(303, "é!"), added_token(304, "<|a")};
  const Tokenizer t = tokenizer(json);
  EXPECT_THAT(t.encode("<|a|>"), ElementsAre(300));
  EXPECT_THAT(t.encode("<|a|><|b|>"), ElementsAre(301));  // the longest
  EXPECT_THAT(t.encode("<|b|><|a|><|a|><|"), ElementsAre(302, 300, 300, 256));
  EXPECT_THAT(t.encode("<|a|<|b|>"), ElementsAre(304, '|', 302));  // the leftmost
  EXPECT_EQ(t.encode("e\u0301!"), bytes("\u00e9!"));               // looked for before the text is normalised
  EXPECT_THAT(t.encode("\u00e9!"), ElementsAre(303));
  EXPECT_EQ(t.id_of("<|b|>"), 302);
  EXPECT_EQ(t.id_of("<|"), 256);
  EXPECT_EQ(t.id_of("<|c|>"), std::nullopt);
}

TEST(Tokenizer, HonoursFlagsOfAddedTokens) {
  Json json = document();
  json["added_tokens"] = {added_token(300, "<l>", {{"lstrip", true}}), added_token(301, "<r>", {{"rstrip", true}}),
                          added_token(302, "word", {{"single_word", true}}),
                          added_token(303, "e\u0301!", {{"normalized", true}})};
  const Tokenizer t = tokenizer(json);
  EXPECT_THAT(t.encode("a \t\u3000<l> b"), ElementsAre('a', 300, ' ', 'b'));
  EXPECT_THAT(t.encode("a <r> \u00a0\nb"), ElementsAre('a', ' ', 301, 'b'));
  EXPECT_THAT(t.encode("<r> <l>"), ElementsAre(301, 300));
  EXPECT_THAT(t.encode("word"), ElementsAre(302));
  EXPECT_THAT(t.encode(" word-"), ElementsAre(' ', 302, '-'));
  EXPECT_EQ(t.encode("words"), bytes("words"));
  EXPECT_EQ(t.encode("\u00e4word"), bytes("\u00e4word"));
  EXPECT_EQ(t.encode("word_"), bytes("word_"));
  EXPECT_THAT(t.encode("\u00e9!"), ElementsAre(303));
  EXPECT_THAT(t.encode("e\u0301!"), ElementsAre(303));
}

TEST(Tokenizer, CutsWordsAsThePreTokenizerSays) {
  const std::vector<std::string> pairs = {"ab", "b,", ",c", "Ġa"};
  const std::vector<std::string> merges = {"a b", "b ,", ", c", "Ġ a"};
  Json json = document(pairs, merges, ",");
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(256, ',', 'c'));
  Json& split = json["pre_tokenizer"]["pretokenizers"][0];
  split["behavior"] = "Removed";
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(256, 'c'));
  split["invert"] = true;
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(','));
  split["pattern"] = {{"String", "b,"}};
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(257));
  json["pre_tokenizer"] = {{"type", "ByteLevel"}};  // which cuts as GPT-2, of itself
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(256, ',', 'c'));
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", false}};
  EXPECT_THAT(tokenizer(json).encode("a"), ElementsAre(259));
  EXPECT_THAT(tokenizer(json).encode(" a"), ElementsAre(259));
  EXPECT_THAT(tokenizer(json).encode(""), IsEmpty());
  // A second expression sees each word as a text of its own.
  json = document(pairs, merges, ",");
  Json& steps = json["pre_tokenizer"]["pretokenizers"];
  Json second = steps[0];
  second["pattern"]["Regex"] = "^c|b(?=,)";
  steps = {steps[0], second, steps[1]};
  EXPECT_THAT(tokenizer(json).encode("ab,c"), ElementsAre(256, ',', 'c'));
}

TEST(Tokenizer, TakesWhatIsNoUtf8ForReplacementCharacters) {
  const Tokenizer t = tokenizer(document());
  const std::string r = "\u00ef\u00bf\u00bd";
  const Ids replacement = bytes("\xef\xbf\xbd");
  const auto replacements = [&](int n) {
    Ids ids;
    for (int i = 0; i < n; ++i) ids.insert(ids.end(), replacement.begin(), replacement.end());
    return ids;
  };
  EXPECT_EQ(t.encode("\xff"), replacements(1));
  EXPECT_EQ(t.encode("\xc3"), replacements(1));
  EXPECT_EQ(t.encode("\xf0\x9f\x98"), replacements(1));      // cut short
  EXPECT_EQ(t.encode("\xc0\xaf"), replacements(2));          // overlong
  EXPECT_EQ(t.encode("\xed\xa0\x80"), replacements(3));      // a surrogate
  EXPECT_EQ(t.encode("\xf4\x90\x80\x80"), replacements(4));  // above U+10FFFF
  // The Unicode Standard's example, table 3-8: 61 F1 80 80 E1 80 C2 62 80 63 80 BF 64.
  EXPECT_EQ(replace_ill_formed("a\xf1\x80\x80\xe1\x80\xc2"
                               "b\x80"
                               "c\x80\xbf"
                               "d"),
            "a\ufffd\ufffd\ufffdb\ufffdc\ufffd\ufffdd");
  EXPECT_EQ(t.encode(std::string("\0", 1)), Ids{0});
}

TEST(Tokenizer, DecodesAnyIds) {
  Json json = document();
  json["added_tokens"] = {added_token(300, "<|end|>"), added_token(301, "<think \u00e9>", {{"special", false}}),
                          added_token(302, "\u00e9\u00a9", {{"special", false}})};
  const Tokenizer t = tokenizer(json);
  const Ids ids = {'H', 'i', 300, 301, 0xc3, 0xa9, 299, 1'000'000'000'000};
  EXPECT_EQ(t.decode(ids, false), "Hi<|end|><think \u00e9>\u00e9");
  EXPECT_EQ(t.decode(ids, true), "Hi<think \u00e9>\u00e9");
  EXPECT_EQ(t.decode(Ids{0xc3}, false), "\ufffd");
  EXPECT_EQ(t.bytes_of(302, false), "\xe9\xa9");  // é and © are the alphabet's letters for these bytes
  EXPECT_EQ(t.decode(Ids{302}, false), "\ufffd");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { t.decode(Ids{-1}, false); }), "t: has no token with the id -1");
}

TEST(StreamDecoder, HandsOutWholeCharacters) {
  const Tokenizer t = tokenizer(document());
  const std::vector<std::string> texts = {"a\u00e9\u65e5\U0001f600z", "\xf0\x9f\x98",
                                          "\xf0\x9f"
                                          "a\xff\xed\xa0\x80"
                                          "b",
                                          "\xe6\x97\u00e9", ""};
  for (const std::string& text : texts) {
    StreamDecoder stream(t, false);
    for (int round = 0; round < 2; ++round) {
      std::string all;
      for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string piece = stream.append(static_cast<unsigned char>(text[i]));
        EXPECT_EQ(piece, replace_ill_formed(piece));
        all += piece;
        // No byte is held back but those of a character that is still open.
        EXPECT_THAT(replace_ill_formed(text.substr(0, i + 1)), testing::AnyOf(all, all + "\ufffd"));
      }
      EXPECT_EQ(all + stream.finish(), replace_ill_formed(text));
    }
  }
}

TEST(StreamDecoder, TakesTokensCutAtEveryByte) {
  const std::string text = "x\u00e9\u65e5\U0001f600\u65e5y";
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    std::vector<std::string> halves;
    for (const std::string& half : {text.substr(0, cut), text.substr(cut)}) {
      std::string written;
      for (const char c : half) written += byte_alphabet()[static_cast<unsigned char>(c)];
      halves.push_back(written);
    }
    const Tokenizer t = tokenizer(document(halves));
    StreamDecoder stream(t, false);
    const std::string first = stream.append(t.id_of(halves[0]).value());
    EXPECT_TRUE(text.starts_with(first)) << cut;
    EXPECT_EQ(first + stream.append(t.id_of(halves[1]).value()), text) << cut;
    EXPECT_EQ(stream.finish(), "") << cut;
  }
}

template <typename Action>
double seconds(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  std::forward<Action>(action)();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(Tokenizer, TakesLongWords) {
  for (const char* word : {"a", "ab", " ", "\n", "\u65e5", "!", "<", "e\u0301"}) {
    std::string text;
    while (text.size() < 100'000) text += word;
    Ids ids;
    EXPECT_LT(seconds([&] { ids = qwen3().encode(text); }), 5) << word;
    EXPECT_EQ(qwen3().encode(qwen3().decode(ids, false)), ids) << word;
  }
}

TEST(Tokenizer, StopsExpressionsThatTakeTooLong) {
  const std::string text = std::string(5'000, 'a') + "!";
  for (const char* pattern : {"(a+)+$", "(?:a|a)+b", "(?:a*)*c", "a*a*a*a*b", "(?:(?:a+)+)+d"}) {
    std::string message;
    EXPECT_LT(seconds([&] {
                message = refusal(ErrorKind::bad_input, [&] { tokenizer(document({}, {}, pattern)).encode(text); });
              }),
              5)
        << pattern;
    EXPECT_EQ(message,
              "t: pre_tokenizer.pretokenizers[0].pattern.Regex takes too long to match on a text of 5001 bytes; it may "
              "match in very many ways")
        << pattern;
  }
  EXPECT_EQ(
      refusal(ErrorKind::bad_input,
              [&] { tokenizer(document({}, {}, "(?:a|b)+")).encode(std::string(8'000'000, 'a')); }),
      "t: pre_tokenizer.pretokenizers[0].pattern.Regex takes too much memory to match on a text of 8000000 bytes; "
      "it may match in very many ways");
}

/// The refusal of document() with `value` at `pointer`.
std::string refused(ErrorKind kind, const char* pointer, const Json& value) {
  Json json = document({"ab"}, {"a b"});
  json[Json::json_pointer(pointer)] = value;
  return refusal(kind, [&] { tokenizer(json); });
}

TEST(Tokenizer, RefusesWhatItDoesNotSupport) {
  const auto unsupported = [](const char* pointer, const Json& value) {
    return refused(ErrorKind::unsupported, pointer, value);
  };
  EXPECT_EQ(unsupported("/model/type", "WordPiece"), "t: model.type is \"WordPiece\", expected \"BPE\"");
  EXPECT_EQ(unsupported("/model/dropout", 0.1), "t: model.dropout is 0.1, expected null or 0");
  EXPECT_EQ(unsupported("/model/byte_fallback", true),
            "t: model.byte_fallback is true, expected false, as byte-level vocabularies have");
  EXPECT_EQ(unsupported("/model/end_of_word_suffix", "</w>"),
            "t: model.end_of_word_suffix is \"</w>\", expected null or \"\", as byte-level vocabularies have");
  EXPECT_EQ(unsupported("/model/heads", 1),
            "t: model.heads is not a known key; known here: type, dropout, unk_token, continuing_subword_prefix, "
            "end_of_word_suffix, fuse_unk, byte_fallback, ignore_merges, vocab, merges");
  EXPECT_EQ(unsupported("/normalizer/type", "NFKC"),
            "t: normalizer.type is \"NFKC\", expected \"NFC\", or no normalizer");
  EXPECT_EQ(unsupported("/pre_tokenizer", nullptr),
            "t: pre_tokenizer is missing, expected ByteLevel, or a Sequence with ByteLevel at its end");
  EXPECT_EQ(unsupported("/pre_tokenizer/pretokenizers/1/type", "Metaspace"),
            "t: pre_tokenizer.pretokenizers[1].type is \"Metaspace\", expected \"ByteLevel\" at the end");
  EXPECT_EQ(unsupported("/pre_tokenizer/pretokenizers/0/type", "Digits"),
            "t: pre_tokenizer.pretokenizers[0].type is \"Digits\", expected \"Split\" before the end");
  EXPECT_EQ(unsupported("/pre_tokenizer/pretokenizers", Json::array()),
            "t: pre_tokenizer.pretokenizers is an array, expected an array that ends with ByteLevel");
  EXPECT_EQ(unsupported("/pre_tokenizer/pretokenizers/0/behavior", "Contiguous"),
            "t: pre_tokenizer.pretokenizers[0].behavior is \"Contiguous\", expected \"Isolated\" or \"Removed\"");
  EXPECT_EQ(unsupported("/decoder/type", "WordPiece"), "t: decoder.type is \"WordPiece\", expected \"ByteLevel\"");
  EXPECT_EQ(
      unsupported("/post_processor", {{"type", "TemplateProcessing"}}),
      "t: post_processor.type is \"TemplateProcessing\", expected \"ByteLevel\" or no post_processor: another may "
      "add tokens");
  EXPECT_EQ(unsupported("/extra", 1),
            "t: extra is not a known key; known here: version, truncation, padding, added_tokens, normalizer, "
            "pre_tokenizer, post_processor, decoder, model");
}

TEST(Tokenizer, RefusesExpressionsThatAreReadDifferently) {
  const auto pattern = [](ErrorKind kind, const std::string& regex) {
    return refused(kind, "/pre_tokenizer/pretokenizers/0/pattern/Regex", regex);
  };
  const std::string path = "t: pre_tokenizer.pretokenizers[0].pattern.Regex ";
  const std::string otherwise = ", which ICU may read differently than the tokenizers of Hugging Face do";
  for (const auto& [regex, construct] :
       {std::pair{R"(\w+)", R"("\\w")"}, std::pair{R"((a)\1)", R"("\\1")"}, std::pair{"(?m:a.)", R"("(?m")"},
        std::pair{"a(?i)b", R"("(?i")"}, std::pair{"a{2}+", R"("}+")"}, std::pair{"[a-z--b]", R"("--")"},
        std::pair{"[]a]", R"("[]")"}, std::pair{"a\\", R"("\\")"}})
    EXPECT_EQ(pattern(ErrorKind::unsupported, regex), path + "uses " + construct + otherwise);
  EXPECT_EQ(pattern(ErrorKind::bad_input, "a("), path +
                                                     "is no regular expression: U_REGEX_MISMATCHED_PAREN at its "
                                                     "character 2");
  EXPECT_EQ(pattern(ErrorKind::unsupported, ""), path + "has 0 bytes, expected an expression of 1 to 10000");
}

TEST(Tokenizer, RefusesWhatContradictsItself) {
  const auto bad = [](const char* pointer, const Json& value) { return refused(ErrorKind::bad_input, pointer, value); };
  EXPECT_EQ(bad("/model/vocab/c", 97), "t: two tokens of model.vocab have the id 97; one is \"c\"");
  EXPECT_EQ(bad("/model/vocab/c", -1), "t: model.vocab.c is -1, expected an integer from 0 to 2147483647");
  EXPECT_EQ(bad("/model/vocab/日", 300), "t: the token \"日\" is not written in the byte-level alphabet");
  // Its last two bytes would be a letter of the alphabet, and its first one with the next as well.
  EXPECT_EQ(bad("/model/vocab/严", 300), "t: the token \"严\" is not written in the byte-level alphabet");
  EXPECT_EQ(bad("/model/merges", nullptr), "t: model.merges is null, expected an array");
  EXPECT_EQ(bad("/model/merges/0", "a b c"),
            "t: model.merges[0] is \"a b c\", expected two tokens: [\"a\", \"b\"] or \"a b\"");
  EXPECT_EQ(bad("/model/merges/0", {"a", "b", "c"}),
            "t: model.merges[0] is an array, expected two tokens: [\"a\", \"b\"] or \"a b\"");
  EXPECT_EQ(bad("/model/merges/0", "a c"), "t: model.merges[0] has \"ac\", which model.vocab does not");
  EXPECT_EQ(bad("/added_tokens", Json::object()), "t: added_tokens is an object, expected an array");
  EXPECT_EQ(bad("/added_tokens", {{{"id", 300}}}), "t: added_tokens[0].content is missing");
  EXPECT_EQ(bad("/added_tokens", Json::array({added_token(300, "")})),
            "t: added_tokens[0].content has 0 bytes, expected 1 to 4096");
  EXPECT_EQ(bad("/added_tokens", {added_token(300, "<a>"), added_token(301, "<a>")}),
            "t: added_tokens has \"<a>\" twice");
  EXPECT_EQ(bad("/added_tokens", Json::array({added_token(97, "<a>")})),
            "t: the added token \"<a>\" has the id 97, as another token has");
  EXPECT_EQ(bad("/added_tokens", Json::array({added_token(300, "ab")})),
            "t: \"ab\" has the id 300 in added_tokens and 256 in model.vocab");
  EXPECT_EQ(bad("/decoder", nullptr), "t: decoder is null, expected an object");
  Json json = document();
  json["model"]["vocab"].erase("a");
  const Tokenizer t = tokenizer(json);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { t.encode("bab"); }),
            "t: model.vocab has no token for the byte 0x61, \"a\", expected one for each");
  EXPECT_EQ(t.decode(Ids{'b', 'a'}, false), "b");
}

TEST(Tokenizer, SaysWhichFileIsWrong) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "tokenizer.json";
  write_bytes(path, R"({"model": {"vocab": {"Hi": 0}}})");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Tokenizer{path}; }), path.string() + ": decoder is missing");
  write_bytes(path, document().dump());
  EXPECT_EQ(Tokenizer(path).encode("Hi"), bytes("Hi"));
}

}  // namespace
}  // namespace q3vl::tokenizer_test
