// Synthetic checkpoints: the hub's layout, sane values, the same bytes each time.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "base/half.h"
#include "checkpoint/checkpoint.h"
#include "config/generation_config.h"
#include "config/image_config.h"
#include "support/command.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"
#include "synth/synth_checkpoint.h"

namespace q3vl::synth_test {
namespace {

namespace fs = std::filesystem;

SynthOptions tiny_options() {
  SynthOptions options{.model = synth_preset("tiny")};
  options.max_shard_bytes = 1'000'000;
  options.threads = 2;
  return options;
}

/// A model whose every dimension is odd in some way.
SynthOptions odd_options() {
  SynthOptions options = tiny_options();
  TextConfig& text = options.model.text;
  VisionConfig& vision = options.model.vision;
  text.vocab_size = 301;
  text.hidden_size = 72;
  text.intermediate_size = 100;
  text.num_hidden_layers = 2;
  text.num_attention_heads = 6;
  text.num_key_value_heads = 3;
  text.head_dim = 16;
  text.mrope_section = {4, 2, 2};
  text.tie_word_embeddings = false;
  vision.depth = 5;
  vision.hidden_size = 48;
  vision.intermediate_size = 52;
  vision.num_heads = 3;
  vision.num_position_embeddings = 49;
  vision.out_hidden_size = 72;
  vision.deepstack_visual_indexes = {3, 1};
  options.model.first_added_token = 270;
  return options;
}

/// Names and shapes of a Qwen3-VL checkpoint, from its configuration.
std::map<std::string, Shape> expected_shapes(const TextConfig& t, const VisionConfig& v) {
  std::map<std::string, Shape> shapes;
  const auto affine = [&](const std::string& name, const Shape& weight) {
    shapes[name + ".weight"] = weight;
    shapes[name + ".bias"] = {weight[0]};
  };
  affine("model.visual.patch_embed.proj",
         {v.hidden_size, v.in_channels, v.temporal_patch_size, v.patch_size, v.patch_size});
  shapes["model.visual.pos_embed.weight"] = {v.num_position_embeddings, v.hidden_size};
  for (int i = 0; i < v.depth; ++i) {
    const std::string block = "model.visual.blocks." + std::to_string(i) + ".";
    affine(block + "norm1", {v.hidden_size});
    affine(block + "norm2", {v.hidden_size});
    affine(block + "attn.qkv", {v.hidden_size * 3, v.hidden_size});
    affine(block + "attn.proj", {v.hidden_size, v.hidden_size});
    affine(block + "mlp.linear_fc1", {v.intermediate_size, v.hidden_size});
    affine(block + "mlp.linear_fc2", {v.hidden_size, v.intermediate_size});
  }
  const std::int64_t merged = v.hidden_size * v.spatial_merge_size * v.spatial_merge_size;
  const auto merger = [&](const std::string& name, std::int64_t norm) {
    affine(name + ".norm", {norm});
    affine(name + ".linear_fc1", {merged, merged});
    affine(name + ".linear_fc2", {t.hidden_size, merged});
  };
  merger("model.visual.merger", v.hidden_size);
  for (std::size_t i = 0; i < v.deepstack_visual_indexes.size(); ++i)
    merger("model.visual.deepstack_merger_list." + std::to_string(i), merged);

  const std::string text = "model.language_model.";
  shapes[text + "embed_tokens.weight"] = {t.vocab_size, t.hidden_size};
  shapes[text + "norm.weight"] = {t.hidden_size};
  for (int i = 0; i < t.num_hidden_layers; ++i) {
    const std::string layer = text + "layers." + std::to_string(i) + ".";
    shapes[layer + "input_layernorm.weight"] = shapes[layer + "post_attention_layernorm.weight"] = {t.hidden_size};
    shapes[layer + "self_attn.q_proj.weight"] = {t.num_attention_heads * t.head_dim, t.hidden_size};
    shapes[layer + "self_attn.k_proj.weight"] = {t.num_key_value_heads * t.head_dim, t.hidden_size};
    shapes[layer + "self_attn.v_proj.weight"] = {t.num_key_value_heads * t.head_dim, t.hidden_size};
    shapes[layer + "self_attn.o_proj.weight"] = {t.hidden_size, t.num_attention_heads * t.head_dim};
    shapes[layer + "self_attn.q_norm.weight"] = shapes[layer + "self_attn.k_norm.weight"] = {t.head_dim};
    shapes[layer + "mlp.gate_proj.weight"] =
        shapes[layer + "mlp.up_proj.weight"] = {t.intermediate_size, t.hidden_size};
    shapes[layer + "mlp.down_proj.weight"] = {t.hidden_size, t.intermediate_size};
  }
  if (!t.tie_word_embeddings) shapes["lm_head.weight"] = {t.vocab_size, t.hidden_size};
  return shapes;
}

void expect_layout(const Checkpoint& checkpoint, const SynthModel& model, DataType type) {
  std::map<std::string, Shape> found;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    found[name] = tensor.shape;
    EXPECT_EQ(tensor.type, type) << name;
  }
  EXPECT_EQ(found, expected_shapes(model.text, model.vision));
}

std::vector<float> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo& tensor = *checkpoint.find(name);
  std::vector<std::byte> bytes(tensor.bytes);
  checkpoint.shards()[tensor.shard].read_at(tensor.offset, bytes);
  std::vector<float> values(static_cast<std::size_t>(element_count(tensor.shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t half = 0;
    if (tensor.type == DataType::float32) {
      std::memcpy(&values[i], bytes.data() + 4 * i, 4);
      continue;
    }
    std::memcpy(&half, bytes.data() + 2 * i, 2);
    values[i] = tensor.type == DataType::float16 ? float16_to_float32(half) : bfloat16_to_float32(half);
  }
  return values;
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files[entry.path().filename()] = read_bytes(entry.path());
  return files;
}

TEST(Synth, TheTinyPresetIsACheckpointThatOpens) {
  const TemporaryFolder folder;
  const SynthOptions options = tiny_options();
  const SynthReport report = write_synthetic_checkpoint(options, folder.path());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_layout(checkpoint, options.model, DataType::bfloat16);
  EXPECT_EQ(report.tensors, checkpoint.tensors().size());
  EXPECT_EQ(report.shards, checkpoint.shards().size());
  EXPECT_EQ(report.bytes, 2 * report.parameters);
  EXPECT_EQ(report.shards, 4U);

  const ModelConfig config = read_model_config(folder.path());
  EXPECT_EQ(config.text.vocab_size, 2048);
  EXPECT_EQ(config.text.hidden_size, 128);
  EXPECT_EQ(config.text.num_key_value_heads, 2);
  EXPECT_EQ(config.text.head_dim, 32);
  EXPECT_EQ(config.text.rope_theta, 5e6);
  EXPECT_EQ(config.text.mrope_section, (std::vector<std::int64_t>{6, 5, 5}));
  EXPECT_TRUE(config.text.tie_word_embeddings);
  EXPECT_EQ(config.vision->deepstack_visual_indexes, (std::vector<std::int64_t>{0, 1, 2}));
  const GenerationConfig generation = read_generation_config(folder.path(), config);
  EXPECT_EQ(generation.eos_token_ids, (std::vector<std::int64_t>{2002, 2000}));
  EXPECT_EQ(generation.pad_token_id, 2000);
  EXPECT_EQ(generation.top_k, 20);
  const ImageConfig image = read_image_config(folder.path(), *config.vision);
  EXPECT_EQ(image.min_pixels, 65536);
  EXPECT_EQ(image.max_pixels, 16777216);
  EXPECT_EQ(image.image_mean, (std::vector<double>{0.5, 0.5, 0.5}));
}

/// The checkpoint in tests/data/tiny-a was written by the reference implementation for the same dimensions.
TEST(Synth, ShardsAreLaidOutAsTheReferenceWriterDoes) {
  const TemporaryFolder folder;
  write_synthetic_checkpoint(tiny_options(), folder.path());
  const fs::path reference = fs::path(Q3VL_SOURCE_DIR) / "tests/data/tiny-a/checkpoint";
  for (int shard = 1; shard <= 4; ++shard) {
    const std::string name = "model-0000" + std::to_string(shard) + "-of-00004.safetensors";
    const std::string bytes = read_bytes(folder / name);
    const std::string expected = read_bytes(reference / name);
    std::uint64_t header = 0;
    std::memcpy(&header, expected.data(), 8);
    EXPECT_EQ(bytes.size(), expected.size());
    EXPECT_EQ(bytes.substr(0, 8 + header), expected.substr(0, 8 + header));
  }
  const auto index = [](const fs::path& path) {
    return Json::parse(read_bytes(path / "model.safetensors.index.json"));
  };
  EXPECT_EQ(index(folder.path()), index(reference));
  for (const char* file :
       {"config.json", "generation_config.json", "preprocessor_config.json", "video_preprocessor_config.json"})
    EXPECT_EQ(Json::parse(read_bytes(folder / file)), Json::parse(read_bytes(reference / file))) << file;
}

TEST(Synth, OddDimensionsAreKept) {
  const TemporaryFolder folder;
  const SynthOptions options = odd_options();
  write_synthetic_checkpoint(options, folder.path());
  expect_layout(Checkpoint::open(folder.path()), options.model, DataType::bfloat16);
  const ModelConfig config = read_model_config(folder.path());
  EXPECT_EQ(config.vision->deepstack_visual_indexes, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(config.text.num_attention_heads * config.text.head_dim, 96);
  EXPECT_FALSE(config.text.tie_word_embeddings);
}

/// Parameters in closed form, against the published counts too.
TEST(Synth, ThePresetsHaveThePublishedSizes) {
  struct Row {
    const char* preset;
    std::int64_t hidden, inter, layers, query, lm_head, depth, v_hidden, v_inter, published;
  };
  for (const Row& r : {Row{"2b", 2048, 6144, 28, 2048, 0, 24, 1024, 4096, 2'127'532'032},
                       Row{"4b", 2560, 9728, 36, 4096, 0, 24, 1024, 4096, 4'437'815'808},
                       Row{"8b", 4096, 12288, 36, 4096, 1, 27, 1152, 4304, 8'767'123'696},
                       Row{"32b", 5120, 25600, 64, 8192, 1, 27, 1152, 4304, 33'357'390'064}}) {
    const std::int64_t h = r.v_hidden;
    const std::int64_t m = 4 * h;
    const std::int64_t layer =
        2 * r.hidden * r.query + 2 * r.hidden * 1024 + 3 * r.hidden * r.inter + 2 * r.hidden + 256;
    const std::int64_t text = (1 + r.lm_head) * 151936 * r.hidden + r.layers * layer + r.hidden;
    const std::int64_t block = 4 * h * h + 4 * h + 2 * h * r.v_inter + r.v_inter + h + 4 * h;
    const std::int64_t merger = m * m + m + m * r.hidden + r.hidden;
    const std::int64_t vision = 1536 * h + h + 2304 * h + r.depth * block + 4 * merger + 2 * h + 6 * m;
    EXPECT_EQ(text + vision, r.published) << r.preset;
    std::int64_t sum = 0;
    for (const SynthTensor& tensor : synthetic_tensors(synth_preset(r.preset), DataType::bfloat16))
      sum += element_count(tensor.shape);
    EXPECT_EQ(sum, r.published) << r.preset;
  }
}

TEST(Synth, TheSparse4bHasTheFullSizeAndTakesNoRoom) {
  const TemporaryFolder folder;
  SynthOptions options{.model = synth_preset("4b")};
  options.sparse = true;
  const SynthReport report = write_synthetic_checkpoint(options, folder.path());
  EXPECT_EQ(report.parameters, 4'437'815'808U);
  EXPECT_EQ(report.bytes, 8'875'631'616U);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  expect_layout(checkpoint, options.model, DataType::bfloat16);
  ASSERT_EQ(checkpoint.shards().size(), 2U);
  for (const File& shard : checkpoint.shards()) {
    EXPECT_GT(shard.size(), 1'000'000'000U);
    EXPECT_LT(shard.size(), 5'001'000'000U);
    struct stat status {};
    ASSERT_EQ(::stat(shard.path().c_str(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 1'000'000);
  }
  EXPECT_EQ(Json::parse(read_bytes(folder / "model.safetensors.index.json"))["metadata"]["total_size"], 8'875'631'616U);
  const ModelConfig config = read_model_config(folder.path());
  EXPECT_EQ(config.image_token_id, 151655);
  EXPECT_EQ(config.video_token_id, 151656);
  EXPECT_EQ(config.vision_start_token_id, 151652);
  EXPECT_EQ(config.vision_end_token_id, 151653);
  EXPECT_EQ(config.bos_token_id, 151643);
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int64_t>{151645});
}

TEST(Synth, BytesDependOnNeitherThreadsNorRuns) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.model.text.vocab_size = 40000;  // embed_tokens spans several blocks
  options.threads = 1;
  write_synthetic_checkpoint(options, folder / "one");
  options.threads = 5;
  write_synthetic_checkpoint(options, folder / "five");
  const auto files = files_of(folder / "one");
  EXPECT_EQ(files, files_of(folder / "five"));

  options.seed = 1;
  write_synthetic_checkpoint(options, folder / "another seed");
  const Checkpoint one = Checkpoint::open(folder / "one");
  const Checkpoint other = Checkpoint::open(folder / "another seed");
  for (const auto& [name, tensor] : one.tensors()) EXPECT_NE(values_of(one, name), values_of(other, name)) << name;
}

/// FNV-1a of the name, SplitMix64 and the sum of eight bytes, calculated elsewhere: the bytes must never change, on any
/// machine.
TEST(Synth, ValuesArePinned) {
  const TemporaryFolder folder;
  const auto first_patterns = [&](const std::string& name) {
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    std::vector<std::uint16_t> patterns;
    for (const float value : values_of(checkpoint, name)) patterns.push_back(float32_to_bfloat16(value));
    patterns.resize(4);
    return patterns;
  };
  write_synthetic_checkpoint(tiny_options(), folder.path());
  EXPECT_EQ(first_patterns("model.visual.pos_embed.weight"),
            (std::vector<std::uint16_t>{0xbf8a, 0xbedc, 0xbe42, 0x3e22}));
  EXPECT_EQ(first_patterns("model.language_model.norm.weight"),
            (std::vector<std::uint16_t>{0x3f8f, 0x3f82, 0x3f85, 0x3f92}));
}

/// All bytes: they must never change, on any machine.
TEST(SynthDistribution, BytesArePinned) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  for (const auto& [distribution, pinned] : {std::pair(Distribution::normal, 0x1740677cedfa8fb2U),
                                             std::pair(Distribution::heavy_tailed, 0x91a3c68f7acbdea8U),
                                             std::pair(Distribution::outlier_channels, 0xc85d6c6555c14282U)}) {
    options.distribution = distribution;
    const fs::path path = folder / std::to_string(static_cast<int>(distribution));
    write_synthetic_checkpoint(options, path);
    std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
    for (const auto& [name, bytes] : files_of(path))
      for (std::size_t i = 0; i < bytes.size() && name.ends_with(".safetensors"); ++i)
        hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3U;
    EXPECT_EQ(hash, pinned) << path;
  }
}

TEST(Synth, SparseHasTheSameHeadersAndZeros) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  write_synthetic_checkpoint(options, folder / "full");
  options.sparse = true;
  write_synthetic_checkpoint(options, folder / "sparse");
  const auto full = files_of(folder / "full");
  for (const auto& [name, bytes] : files_of(folder / "sparse")) {
    ASSERT_EQ(bytes.size(), full.at(name).size()) << name;
    if (!name.ends_with(".safetensors")) {
      EXPECT_EQ(bytes, full.at(name)) << name;
      continue;
    }
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    EXPECT_EQ(header % 8, 0U);
    EXPECT_EQ(bytes.substr(0, 8 + header), full.at(name).substr(0, 8 + header));
    EXPECT_EQ(bytes.find_first_not_of('\0', 8 + header), std::string::npos);
    EXPECT_NE(full.at(name).find_first_not_of('\0', 8 + header), std::string::npos);
  }
}

struct Moments {
  double mean, deviation, kurtosis, largest;
};

Moments moments_of(const std::vector<float>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0, square = 0, fourth = 0, largest = 0;
  for (const float value : values) sum += value;
  const double mean = sum / n;
  for (const float value : values) {
    const double d = value - mean;
    square += d * d;
    fourth += d * d * d * d;
    largest = std::max(largest, std::abs(d));
  }
  const double deviation = std::sqrt(square / n);
  return {mean, deviation, fourth / n / (deviation * deviation * deviation * deviation), largest / deviation};
}

TEST(Synth, ValuesAreAboutNormal) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.model.text.vocab_size = 8192;
  write_synthetic_checkpoint(options, folder.path());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  const auto expect = [&](const std::string& name, double mean, double deviation) {
    const std::vector<float> values = values_of(checkpoint, name);
    const Moments moments = moments_of(values);
    const double error = 4 * deviation / std::sqrt(static_cast<double>(values.size()));  // four standard errors
    EXPECT_NEAR(moments.mean, mean, error) << name;
    EXPECT_NEAR(moments.deviation, deviation, error) << name;
    EXPECT_LT(moments.largest, 5) << name;
    if (values.size() > 10000) {
      EXPECT_NEAR(moments.kurtosis, 2.85, 0.1) << name;  // 3 − 1.2 / 8: a sum of 8 uniforms
    }
  };
  expect("model.language_model.embed_tokens.weight", 0, 2 / std::sqrt(128));
  expect("model.language_model.layers.0.self_attn.q_proj.weight", 0, 1 / std::sqrt(128));
  expect("model.language_model.layers.3.mlp.down_proj.weight", 0, 1 / std::sqrt(256));
  expect("model.language_model.layers.2.self_attn.k_norm.weight", 1, 0.1);
  expect("model.visual.patch_embed.proj.weight", 0, 1 / std::sqrt(1536));
  expect("model.visual.pos_embed.weight", 0, 0.5);
  expect("model.visual.blocks.1.norm1.weight", 1, 0.1);
  expect("model.visual.blocks.1.mlp.linear_fc1.bias", 0, 0.05);

  // Equal shapes, different numbers: no two streams run along each other.
  const std::vector<float> a = values_of(checkpoint, "model.language_model.layers.0.mlp.gate_proj.weight");
  const std::vector<float> b = values_of(checkpoint, "model.language_model.layers.0.mlp.up_proj.weight");
  double product = 0;
  for (std::size_t i = 0; i < a.size(); ++i) product += static_cast<double>(a[i]) * b[i];
  EXPECT_LT(std::abs(product / static_cast<double>(a.size()) * 128), 4 / std::sqrt(static_cast<double>(a.size())));
}

/// The share of a t distribution with four degrees of freedom, scaled to the variance 1, that is beyond ±x.
double share_beyond(double x) {
  const double t = x * std::sqrt(2.0);
  const double s = 4 / (4 + t * t);
  return 1 - std::sqrt(1 - s) * (1 + s / 2);
}

TEST(SynthDistribution, HeavyTailsAreThoseOfStudentsT) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.model.text.vocab_size = 8192;
  options.type = DataType::float32;
  options.distribution = Distribution::heavy_tailed;
  write_synthetic_checkpoint(options, folder.path());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  for (const auto& [name, deviation] :
       {std::pair("model.language_model.embed_tokens.weight", 2 / std::sqrt(128)),
        std::pair("model.language_model.layers.1.mlp.up_proj.weight", 1 / std::sqrt(128)),
        std::pair("model.visual.merger.linear_fc1.weight", 1 / std::sqrt(256))}) {
    const std::vector<float> values = values_of(checkpoint, name);
    const auto count = static_cast<double>(values.size());
    const Moments moments = moments_of(values);
    EXPECT_NEAR(moments.mean, 0, 4 * deviation / std::sqrt(count)) << name;
    EXPECT_NEAR(moments.deviation / deviation, 1, 0.05) << name;
    EXPECT_GT(moments.kurtosis, 6) << name;
    EXPECT_GT(moments.largest, 8) << name;
    for (const double limit : {0.5, 1.0, 2.0, 4.0, 6.0}) {
      const auto beyond = static_cast<double>(
          std::ranges::count_if(values, [&, d = deviation](float value) { return std::abs(value) > limit * d; }));
      const double expected = count * share_beyond(limit);  // but for what sums of bytes lack to be normal
      EXPECT_NEAR(beyond, expected, 4 * std::sqrt(expected) + 0.1 * expected) << name << " beyond " << limit;
    }
  }
  // Norms and biases are as ever.
  options.distribution = Distribution::normal;
  write_synthetic_checkpoint(options, folder / "normal");
  const Checkpoint normal = Checkpoint::open(folder / "normal");
  for (const auto& [name, tensor] : normal.tensors())
    EXPECT_EQ(values_of(normal, name) == values_of(checkpoint, name), tensor.shape.size() == 1) << name;
}

/// By which factor each value of one checkpoint is that of another, rows of a matrix.
std::vector<std::vector<float>> factors_of(const Checkpoint& scaled, const Checkpoint& plain, const std::string& name) {
  const std::vector<float> a = values_of(scaled, name);
  const std::vector<float> b = values_of(plain, name);
  const auto columns = static_cast<std::size_t>(plain.find(name)->shape.back());
  std::vector<std::vector<float>> rows(a.size() / columns);
  for (std::size_t i = 0; i < a.size(); ++i)
    rows[i / columns].push_back(b[i] == 0 ? 0 : std::round(a[i] / b[i] * 8) / 8);  // 0: any
  return rows;
}

TEST(SynthDistribution, OutliersAreChannelsOfALayerAndRowsOfAMatrix) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.model.text.hidden_size = 320;
  options.model.text.intermediate_size = 640;
  options.model.text.num_hidden_layers = 3;
  options.model.vision.out_hidden_size = 320;
  options.type = DataType::float32;
  write_synthetic_checkpoint(options, folder / "normal");
  options.distribution = Distribution::outlier_channels;
  write_synthetic_checkpoint(options, folder / "outliers");
  const Checkpoint normal = Checkpoint::open(folder / "normal");
  const Checkpoint outliers = Checkpoint::open(folder / "outliers");
  std::set<std::string> seen;
  std::vector<std::set<std::size_t>> channels_of_layers;
  for (int layer = 0; layer < 3; ++layer) {
    const std::string prefix = "model.language_model.layers." + std::to_string(layer) + ".";
    std::set<std::set<std::size_t>> choices;
    for (const auto& [module, reads] :
         {std::pair("self_attn.q_proj", true), std::pair("self_attn.k_proj", true), std::pair("self_attn.v_proj", true),
          std::pair("self_attn.o_proj", false), std::pair("mlp.gate_proj", true), std::pair("mlp.up_proj", true),
          std::pair("mlp.down_proj", false)}) {
      const std::string name = prefix + module + ".weight";
      seen.insert(name);
      const auto factors = factors_of(outliers, normal, name);
      std::set<std::size_t> rows;
      std::set<std::size_t> channels;
      for (std::size_t row = 0; row < factors.size(); ++row)
        for (std::size_t column = 0; column < factors[row].size(); ++column) {
          if (factors[row][column] == 4 || factors[row][column] == 40) rows.insert(row);
          if (factors[row][column] == 10 || factors[row][column] == 40) channels.insert(column);
        }
      for (std::size_t row = 0; row < factors.size(); ++row)
        for (std::size_t column = 0; column < factors[row].size(); ++column)
          if (factors[row][column] != 0) {
            ASSERT_EQ(factors[row][column], (rows.contains(row) ? 4 : 1) * (channels.contains(column) ? 10 : 1))
                << name << " row " << row << " column " << column;
          }
      EXPECT_EQ(rows.size(), std::max<std::size_t>(1, (factors.size() + 100) / 200)) << name;
      EXPECT_EQ(channels.size(), reads ? 3U : 0U) << name << ": one in a hundred";
      if (reads) choices.insert(channels);
    }
    EXPECT_EQ(choices.size(), 1U) << "one choice a layer";
    channels_of_layers.push_back(*choices.begin());
  }
  EXPECT_NE(channels_of_layers[0], channels_of_layers[1]);
  EXPECT_NE(channels_of_layers[1], channels_of_layers[2]);
  for (const auto& [name, tensor] : normal.tensors())
    EXPECT_EQ(values_of(normal, name) == values_of(outliers, name), !seen.contains(name)) << name;
}

TEST(SynthDistribution, BytesDependOnNeitherThreadsNorRuns) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.model.text.num_hidden_layers = 1;
  options.model.text.intermediate_size = 20000;  // several blocks
  for (const auto& [name, distribution] : {std::pair("heavy-tailed", Distribution::heavy_tailed),
                                           std::pair("outlier-channels", Distribution::outlier_channels)}) {
    options.distribution = distribution;
    options.threads = 1;
    write_synthetic_checkpoint(options, folder / name / "one");
    options.threads = 5;
    write_synthetic_checkpoint(options, folder / name / "five");
    EXPECT_EQ(files_of(folder / name / "one"), files_of(folder / name / "five")) << name;
  }
}

TEST(Synth, TypesCanBeMixed) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.type = DataType::float32;
  write_synthetic_checkpoint(options, folder / "float32");
  options.max_shard_bytes = 1'000'000'000;
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      tensors[i].type = std::array{DataType::float16, DataType::bfloat16, DataType::float32}[i % 3];
  };
  EXPECT_EQ(write_synthetic_checkpoint(options, folder / "mixed").shards, 1U);
  EXPECT_TRUE(fs::exists(folder / "mixed/model.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "mixed/model.safetensors.index.json"));
  const Checkpoint reference = Checkpoint::open(folder / "float32");
  const Checkpoint mixed = Checkpoint::open(folder / "mixed");
  std::set<DataType> types;
  for (const auto& [name, tensor] : mixed.tensors()) {
    types.insert(tensor.type);
    EXPECT_EQ(tensor.offset % size_of(tensor.type), 0U) << name;
    std::vector<float> expected = values_of(reference, name);
    for (float& value : expected) {
      if (tensor.type == DataType::float16) value = float16_to_float32(float32_to_float16(value));
      if (tensor.type == DataType::bfloat16) value = bfloat16_to_float32(float32_to_bfloat16(value));
    }
    EXPECT_EQ(values_of(mixed, name), expected) << name;
  }
  EXPECT_EQ(types.size(), 3U);
}

TEST(Synth, ATiedHeadCanBeStored) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i].name == "model.language_model.embed_tokens.weight") {
        SynthTensor head = tensors[i];  // the stream stays the embedding's, so the values do
        head.name = "lm_head.weight";
        tensors.push_back(head);
        return;
      }
  };
  write_synthetic_checkpoint(options, folder.path());
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(values_of(checkpoint, "lm_head.weight"), values_of(checkpoint, "model.language_model.embed_tokens.weight"));
}

TEST(Synth, BothDialectsAndBothPlacesOfTheImageSettingsSayTheSame) {
  const TemporaryFolder folder;
  SynthOptions options = tiny_options();
  options.sparse = true;
  write_synthetic_checkpoint(options, folder / "older");
  options.rope_dialect = RopeDialect::rope_parameters;
  options.image_settings = ImageSettings::processor_config;
  write_synthetic_checkpoint(options, folder / "newer");
  const Json older = Json::parse(read_bytes(folder / "older/config.json"))["text_config"];
  const Json newer = Json::parse(read_bytes(folder / "newer/config.json"))["text_config"];
  EXPECT_TRUE(older.contains("rope_scaling") && older.contains("rope_theta") && !older.contains("rope_parameters"));
  EXPECT_TRUE(newer.contains("rope_parameters") && !newer.contains("rope_theta") && !newer.contains("rope_scaling"));
  EXPECT_FALSE(fs::exists(folder / "newer/preprocessor_config.json"));
  EXPECT_FALSE(fs::exists(folder / "newer/video_preprocessor_config.json"));
  const ModelConfig a = read_model_config(folder / "older");
  const ModelConfig b = read_model_config(folder / "newer");
  EXPECT_EQ(a.text.rope_theta, b.text.rope_theta);
  EXPECT_EQ(a.text.mrope_section, b.text.mrope_section);
  EXPECT_EQ(a.text.tie_word_embeddings, b.text.tie_word_embeddings);
  EXPECT_EQ(read_image_config(folder / "older", *a.vision).max_pixels,
            read_image_config(folder / "newer", *b.vision).max_pixels);
}

TEST(SynthTokenizer, SpecialIdsAreTheConfigs) {
  const std::vector<std::string_view> presets(kSynthPresets.begin(), kSynthPresets.end());
  ASSERT_EQ(presets, (std::vector<std::string_view>{"tiny", "2b", "4b", "8b", "32b"}));
  for (const std::string_view preset : presets) {
    const SynthModel model = synth_preset(preset);
    const Json config = Json::parse(config_json(model, DataType::bfloat16, RopeDialect::rope_scaling).dump());
    std::map<std::string, std::int64_t> ids;
    std::set<std::int64_t> used;
    const Json tokenizer = Json::parse(tokenizer_json(model).dump());
    for (const Json& token : tokenizer["added_tokens"]) {
      ids[token["content"]] = token["id"];
      EXPECT_TRUE(used.insert(token["id"].get<std::int64_t>()).second) << token;
    }
    for (const auto& [text, id] : tokenizer["model"]["vocab"].items())
      EXPECT_TRUE(used.insert(id.get<std::int64_t>()).second) << text;
    EXPECT_LT(*used.rbegin(), model.text.vocab_size);
    EXPECT_EQ(config["image_token_id"], ids.at("<|image_pad|>"));
    EXPECT_EQ(config["video_token_id"], ids.at("<|video_pad|>"));
    EXPECT_EQ(config["vision_start_token_id"], ids.at("<|vision_start|>"));
    EXPECT_EQ(config["vision_end_token_id"], ids.at("<|vision_end|>"));
    EXPECT_EQ(config["text_config"]["bos_token_id"], ids.at("<|endoftext|>"));
    EXPECT_EQ(config["text_config"]["eos_token_id"], ids.at("<|im_end|>"));
    const Json tokenizer_config = Json::parse(tokenizer_config_json(model).dump());
    for (const auto& [id, token] : tokenizer_config["added_tokens_decoder"].items())
      EXPECT_EQ(std::stoll(id), ids.at(token["content"]));
    EXPECT_EQ(tokenizer_config["added_tokens_decoder"].size(), ids.size());
    const Json generation = Json::parse(generation_config_json(model).dump());
    EXPECT_EQ(generation["eos_token_id"], (std::vector<std::int64_t>{ids.at("<|im_end|>"), ids.at("<|endoftext|>")}));
  }
}

TEST(SynthTokenizer, TheVocabularyIsByteLevelAndItsMergesCanBeReached) {
  SynthModel model = synth_preset("tiny");
  const Json full = Json::parse(tokenizer_json(model).dump())["model"];
  // Ids of single bytes are Qwen's own; the trained checkpoint in tests/data has them.
  const Json qwen = Json::parse(
      read_bytes(fs::path(Q3VL_SOURCE_DIR) / "tests/data/tiny-a/checkpoint/tokenizer.json"))["model"]["vocab"];
  for (const auto& [text, id] : full["vocab"].items())
    if (id < 256) {
      EXPECT_EQ(qwen.at(text), id) << text;
    }
  EXPECT_EQ(full["vocab"].size(), 256 + full["merges"].size());
  EXPECT_GT(full["merges"].size(), 10U);
  std::int64_t next = 256;
  for (const Json& pair : full["merges"]) {
    for (const Json& part : pair) EXPECT_LT(full["vocab"].at(part.get<std::string>()), next) << pair;
    EXPECT_EQ(full["vocab"].at(pair[0].get<std::string>() + pair[1].get<std::string>()), next++) << pair;
  }

  model.first_added_token = 260;
  EXPECT_EQ(tokenizer_json(model)["model"]["merges"].size(), 4U);
  model.text.vocab_size = 286;
  EXPECT_EQ(tokenizer_json(model)["model"]["vocab"].size(), 260U);
  model.text.vocab_size = 285;
  EXPECT_EQ(
      refusal(ErrorKind::usage, [&] { tokenizer_json(model); }),
      "the added tokens would take the ids 260 to 285; they must lie above the 256 bytes and below vocab_size, 285");
}

TEST(Synth, NothingIsOverwrittenAndNothingIsLeftBehind) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "kept");
  const SynthOptions options = tiny_options();
  EXPECT_EQ(refusal(ErrorKind::output, [&] { write_synthetic_checkpoint(options, folder.path()); }),
            folder.path().string() + ": is not empty; choose a new folder or empty this one");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { write_synthetic_checkpoint(options, folder / "file"); }),
            (folder / "file").string() + ": exists and is not a folder");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { write_synthetic_checkpoint(options, folder / "file/sub"); }),
            (folder / "file").string() + ": cannot create the folder: Not a directory");
  fs::create_directory(folder / "out.partial");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { write_synthetic_checkpoint(options, folder / "out"); }),
            (folder / "out.partial").string() +
                ": exists already, left by a run that was killed or still at work; remove it");
  fs::remove(folder / "out.partial");

  SynthOptions wrong = options;
  wrong.type = DataType::int8;
  wrong.threads = 1;
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { write_synthetic_checkpoint(wrong, folder / "out/"); }),
            "tensor \"model.language_model.embed_tokens.weight\": random values can be bfloat16, float16 or float32, "
            "not int8");
  EXPECT_EQ(files_of(folder.path()), (std::map<std::string, std::string>{{"file", "kept"}}));
  write_synthetic_checkpoint(options, folder / "out/");
  EXPECT_TRUE(fs::exists(folder / "out/config.json"));
  EXPECT_EQ(refusal(ErrorKind::usage, [] { synth_preset("5b"); }),
            "there is no preset \"5b\"; presets: tiny, 2b, 4b, 8b, 32b");
}

class SynthProgram : public testing::Test {
 protected:
  /// Runs qwen3vl-synth with these arguments.
  static CommandResult synth(std::vector<std::string> arguments,
                             std::optional<std::chrono::milliseconds> interrupt_after = std::nullopt) {
    arguments.insert(arguments.begin(), Q3VL_SYNTH);
    return run_command(arguments, interrupt_after);
  }
  std::string out(const std::string& name) const { return (folder_ / name).string(); }

  TemporaryFolder folder_;
};

TEST_F(SynthProgram, OptionsReachTheCheckpoint) {
  const CommandResult result = synth({"tiny", out("a"), "--seed", "3", "--threads", "2"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.out.starts_with(out("a") + ": 1498432 parameters in 121 tensors, 3.0 MB in 4 files, "))
      << result.out;
  SynthOptions options = tiny_options();
  options.seed = 3;
  write_synthetic_checkpoint(options, folder_ / "b");
  EXPECT_EQ(files_of(folder_ / "a"), files_of(folder_ / "b"));

  EXPECT_EQ(synth({"tiny", out("c"), "--untied", "--dtype", "fp16", "--sparse"}).exit_code, 0);
  options.model.text.tie_word_embeddings = false;
  expect_layout(Checkpoint::open(folder_ / "c"), options.model, DataType::float16);
  EXPECT_EQ(synth({"8b", out("d"), "--tied", "--sparse"}).exit_code, 0);
  EXPECT_EQ(Checkpoint::open(folder_ / "d").find("lm_head.weight"), nullptr);
  EXPECT_EQ(synth({"--help"}).exit_code, 0);

  options = tiny_options();
  for (const auto& [name, distribution] :
       {std::pair("normal", Distribution::normal), std::pair("heavy-tailed", Distribution::heavy_tailed),
        std::pair("outlier-channels", Distribution::outlier_channels)}) {
    EXPECT_EQ(synth({"tiny", out(name), "--distribution", name}).exit_code, 0);
    options.distribution = distribution;
    write_synthetic_checkpoint(options, folder_ / "library" / name);
    EXPECT_EQ(files_of(out(name)), files_of(folder_ / "library" / name)) << name;
  }
}

TEST_F(SynthProgram, RefusalsHaveASentenceAndAnExitCode) {
  EXPECT_EQ(synth({"tiny"}).exit_code, 2);
  EXPECT_EQ(synth({"tiny", out("e"), "--tied", "--untied"}).exit_code, 2);
  EXPECT_EQ(synth({"tiny", out("e"), "--dtype", "int4"}).exit_code, 2);
  EXPECT_EQ(synth({"tiny", out("e"), "--distribution", "uniform"}).exit_code, 2);
  EXPECT_EQ(synth({"tiny", out("e"), "--distribution", "heavy-tailed", "--sparse"}).exit_code, 2);
  const CommandResult unknown = synth({"small", out("e")});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_EQ(unknown.err, "error: there is no preset \"small\"; presets: tiny, 2b, 4b, 8b, 32b\n");
  write_bytes(folder_ / "file", "kept");
  const CommandResult occupied = synth({"tiny", folder_.path().string()});
  EXPECT_EQ(occupied.exit_code, 5);
  EXPECT_EQ(occupied.err,
            "error: " + folder_.path().string() + ": is not empty; choose a new folder or empty this one\n");
  EXPECT_EQ(files_of(folder_.path()), (std::map<std::string, std::string>{{"file", "kept"}}));
}

TEST_F(SynthProgram, AnInterruptLeavesNothingBehind) {
  const CommandResult result = synth({"32b", out("big")}, std::chrono::milliseconds(500));
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.err, "error: interrupted; nothing was left behind\n");
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace q3vl::synth_test
