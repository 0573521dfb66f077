#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "prompt/token_ids.h"
#include "verify/cases.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLogits = 1 << 27;  // of all texts, in the reference and in the package

/// The token ids of one object of "sequences".
std::vector<std::int64_t> read_sequence(const ModelConfig& config, const JsonObject& sequence) {
  const std::string path = sequence.path_of("input_ids");
  std::vector<std::int64_t> tokens = read_token_ids(sequence, config.text);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] == config.image_token_id || tokens[i] == config.video_token_id)
      sequence.fail(fmt::format("{}[{}] is {}, which stands for a picture; expected text alone", path, i, tokens[i]));
  const auto length = static_cast<std::int64_t>(tokens.size());
  if (length < 2 || length > config.text.max_position_embeddings)
    sequence.fail(fmt::format("{} has {} token{}, expected from 2 to the model's {}", path, length,
                              length == 1 ? "" : "s", config.text.max_position_embeddings));
  return tokens;
}

void read_file(const ModelConfig& config, const fs::path& path, std::vector<VerifyCase>& cases) {
  const Json document = read_json_file(path, kDataJson);
  const JsonObject file(document, path.string());
  if (!file.has("sequences") || !document.at("sequences").is_array() || document.at("sequences").empty())
    file.fail("holds no sequences, expected {\"sequences\": [{\"input_ids\": [...]}, ...]}");
  const Json& sequences = document.at("sequences");
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const JsonObject sequence(sequences[i], path.string(), fmt::format("sequences[{}]", i));
    cases.push_back({.name = fmt::format("{} {}", path.filename().string(), i),
                     .prompt = {.input_ids = read_sequence(config, sequence), .pictures = {}},
                     .positions = {},
                     .text = true});
  }
}

/// How many positions of a sequence may be compared, so that all sequences together have at most `room`.
std::int64_t most_positions(std::span<const VerifyCase> cases, std::int64_t room) {
  std::vector<std::int64_t> lengths;
  for (const VerifyCase& item : cases) lengths.push_back(item.length());
  std::ranges::sort(lengths);
  auto sequences = static_cast<std::int64_t>(lengths.size());
  for (const std::int64_t length : lengths) {  // what short ones leave is the longer ones'
    if (length * sequences > room) return room / sequences;
    room -= length;
    --sequences;
  }
  return lengths.back();
}

/// All, or `most` evenly spread ones of those that a token follows.
std::vector<std::int64_t> positions_of(std::int64_t length, std::int64_t most) {
  const bool all = length <= most;
  const std::int64_t count = all ? length : most;
  const std::int64_t range = all ? length : length - 1;
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < count; ++i) positions.push_back((2 * i + 1) * range / (2 * count));
  return positions;
}

}  // namespace

std::vector<VerifyCase> text_cases(const ModelConfig& config, std::span<const fs::path> files) {
  std::vector<VerifyCase> cases;
  for (const fs::path& path : files) read_file(config, path, cases);
  if (cases.empty()) return cases;
  const std::int64_t room = (kLogits - 1) / (2 * config.text.vocab_size);
  const std::int64_t most = most_positions(cases, room);
  if (most < 1)
    throw Error(ErrorKind::bad_input, fmt::format("{}: the texts have {} sequences, expected at most {}: one position "
                                                  "each with the model's vocabulary of {}",
                                                  files.back().string(), cases.size(), room, config.text.vocab_size));
  for (VerifyCase& item : cases) item.positions = positions_of(item.length(), most);
  return cases;
}

}  // namespace q3vl
