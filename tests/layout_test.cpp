// The layouts of a package: who loads it, where its weights lie, and what Transformers.js would stumble over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "data/data_layout.h"
#include "package/transformers_js/contract.h"
#include "support/command_line_test.h"
#include "support/refusal.h"

namespace q3vl::layout_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Key;
using testing::Not;

json read_json(const fs::path& path) {
  return json::parse(read_bytes(path));
}

onnx::ModelProto read_model(const fs::path& path) {
  onnx::ModelProto model;
  if (!model.ParseFromString(read_bytes(path))) throw std::runtime_error(path.string() + " cannot be parsed");
  return model;
}

/// The bytes of every initializer that lies outside a graph's file, by name; the file must lie beside the graph.
std::map<std::string, std::string> weights_of(const fs::path& graph) {
  std::map<std::string, std::string> weights;
  const onnx::ModelProto model = read_model(graph);
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    std::map<std::string, std::string> entries;
    for (const auto& entry : tensor.external_data()) entries[entry.key()] = entry.value();
    EXPECT_EQ(entries["location"].find('/'), std::string::npos) << entries["location"];
    weights[tensor.name()] = read_bytes(graph.parent_path() / entries["location"])
                                 .substr(std::stoull(entries["offset"]), std::stoull(entries["length"]));
  }
  return weights;
}

std::set<std::string> locations_of(const fs::path& graph) {
  std::set<std::string> locations;
  const onnx::ModelProto model = read_model(graph);
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    for (const auto& entry : tensor.external_data())
      if (entry.key() == "location") locations.insert(entry.value());
  return locations;
}

class Layout : public CommandLineTest {
 protected:
  void SetUp() override { make(tiny()); }

  /// Exports into a folder of this name.
  fs::path exported(const std::string& name, std::vector<std::string> flags) {
    flags.insert(flags.begin(), {Q3VL_EXPORT_BINARY, c(), "-o", folder_ / name, "-q"});
    const CommandResult result = run_command(flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_ / name;
  }

  void edit(const fs::path& file, const std::function<void(json&)>& change) const {
    json document = read_json(file);
    change(document);
    write_bytes(file, document.dump());
  }

  static std::vector<std::string> clients(const fs::path& package) {
    const CommandResult result = run_command({Q3VL_EXPORT_BINARY, "check", package, "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.out;
    return json::parse(result.out).at("clients");
  }
};

TEST_F(Layout, UniversalIsWhatIsWritten) {
  const fs::path package = exported("package", {});
  EXPECT_EQ(read_json(package / "manifest.json").at("layout"), "universal");
  EXPECT_THAT(clients(package), ElementsAre("onnxruntime", "onnxruntime-genai", "Transformers.js"));
  const json model = read_json(package / "genai_config.json").at("model");
  EXPECT_EQ(model.at("vision").at("filename"), "onnx/vision_encoder.onnx");
  EXPECT_EQ(model.at("embedding").at("filename"), "onnx/embedding.onnx");
  EXPECT_EQ(model.at("decoder").at("filename"), "onnx/decoder_model_merged.onnx");
}

TEST_F(Layout, BothEmbeddingsAndATiedHeadReadTheSameBytes) {
  const fs::path package = exported("package", {"--recipe", "fp32"});
  EXPECT_THAT(locations_of(package / "onnx/embedding.onnx"), ElementsAre("embed_tokens.onnx_data"));
  EXPECT_THAT(locations_of(package / "onnx/embed_tokens.onnx"), ElementsAre("embed_tokens.onnx_data"));
  EXPECT_THAT(locations_of(package / "onnx/decoder_model_merged.onnx"),
              ElementsAre("decoder_model_merged.onnx_data", "embed_tokens.onnx_data"));
}

TEST_F(Layout, EveryLayoutHasTheSameWeights) {
  const fs::path genai = exported("genai", {"--layout", "genai", "--recipe", "int4"});
  const fs::path universal = exported("universal", {"--layout", "universal", "--recipe", "int4"});
  const fs::path browser = exported("browser", {"--layout", "transformers-js", "--recipe", "int4"});
  const auto text = weights_of(genai / "model.onnx");
  EXPECT_EQ(weights_of(universal / "onnx/decoder_model_merged.onnx"), text);
  EXPECT_EQ(weights_of(genai / "vision.onnx"), weights_of(universal / "onnx/vision_encoder.onnx"));
  EXPECT_EQ(weights_of(genai / "embedding.onnx"), weights_of(universal / "onnx/embedding.onnx"));
  // What is quantised is so everywhere; what is kept as in the checkpoint is bfloat16 there, which browsers cannot
  // read.
  const auto in_browser = weights_of(browser / "onnx/decoder_model_merged.onnx");
  for (const auto& [name, bytes] : text) {
    if (!name.ends_with(".int4")) continue;
    EXPECT_EQ(in_browser.at(name), bytes) << name;
  }
}

TEST_F(Layout, ABrowserFindsAllOfAGraphInFilesOfItsOwn) {
  const fs::path package = exported("package", {"--layout", "transformers-js", "--recipe", "fp32"});
  EXPECT_THAT(clients(package), ElementsAre("onnxruntime", "onnxruntime-genai", "Transformers.js"));
  const json settings = read_json(package / "config.json").at("transformers.js_config");
  EXPECT_EQ(settings.at("dtype"), "fp32");
  for (const char* graph : {"vision_encoder", "embed_tokens", "decoder_model_merged"}) {
    EXPECT_EQ(settings.at("use_external_data_format").at(graph), 1);
    EXPECT_THAT(locations_of(package / "onnx" / (std::string(graph) + ".onnx")),
                ElementsAre(std::string(graph) + ".onnx_data"));
    const onnx::ModelProto model = read_model(package / "onnx" / (std::string(graph) + ".onnx"));
    for (const onnx::TensorProto& tensor : model.graph().initializer())
      EXPECT_NE(tensor.data_type(), onnx::TensorProto::BFLOAT16) << tensor.name();
  }
}

TEST_F(Layout, ABrowsersRuntimeHasWhatGraphsAreMadeOf) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--recipe", "int4"}, {"--recipe", "int4-small", "--embedding", "int4"}}) {
    std::vector<std::string> of_browsers = flags;
    of_browsers.insert(of_browsers.end(), {"--layout", "transformers-js"});
    const fs::path package = exported("of_browsers_" + flags[1], of_browsers);
    EXPECT_THAT(transformers_js_contract_findings(package), IsEmpty());
    for (const char* file : {"embed_tokens", "vision_encoder", "decoder_model_merged"}) {
      const onnx::ModelProto model = read_model(package / "onnx" / (std::string(file) + ".onnx"));
      for (const onnx::TensorProto& tensor : model.graph().initializer())
        EXPECT_NE(tensor.data_type(), onnx::TensorProto::BFLOAT16) << tensor.name();
      for (const onnx::NodeProto& node : model.graph().node()) {
        EXPECT_NE(node.op_type(), "GatherBlockQuantized") << file;
        if (file == std::string("embed_tokens")) {
          EXPECT_EQ(node.domain(), "") << node.name();
        }
      }
    }
    // The table is quantised all the same, and its bytes are those of other layouts.
    const fs::path universal = exported("universal_" + flags[1], flags);
    const auto weights = weights_of(package / "onnx/embed_tokens.onnx");
    EXPECT_EQ(weights, weights_of(universal / "onnx/embed_tokens.onnx"));
    EXPECT_THAT(weights, Contains(Key(HasSubstr(".scales")))) << flags[1];
    const CommandResult result =
        run_command({Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", c(), "--checks", "graph,weights,numerics"});
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  }
}

TEST_F(Layout, WideningABrowsersWeightsIsExact) {
  const fs::path package = exported("package", {"--layout", "transformers-js", "--recipe", "fp32"});
  const CommandResult result =
      run_command({Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", c(), "--checks", "graph,weights,numerics"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

TEST_F(Layout, EveryLayoutIsProven) {
  for (const char* layout : {"genai", "universal", "transformers-js"}) {
    const fs::path package = exported(layout, {"--layout", layout, "--recipe", "int4"});
    const CommandResult result =
        run_command({Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", c(), "--checks", "graph,weights"});
    EXPECT_EQ(result.exit_code, 0) << layout << result.out << result.err;
  }
}

TEST_F(Layout, WhatTransformersJsCannotRunIsLaidOutForGenai) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--kv-cache", "int8"}, {"--components", "text"}, {"--components", "vision"}}) {
    const fs::path package = exported(flags.back(), flags);
    EXPECT_EQ(read_json(package / "manifest.json").at("layout"), "genai");
    EXPECT_FALSE(fs::exists(package / "onnx"));
  }
  EXPECT_THAT(run_command({Q3VL_EXPORT_BINARY, c(), "-o", folder_ / "told", "--kv-cache", "int8"}).err,
              HasSubstr("info: Transformers.js has no int8 cache: the layout is genai (--layout)\n"));
}

TEST_F(Layout, APackageThatDoesNotSayItsLayoutIsToBeMadeAgain) {
  const fs::path package = exported("package", {});
  edit(package / "manifest.json", [](json& manifest) { manifest.erase("layout"); });
  const CommandResult result = run_command({Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", c(), "-q"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.err, "qwen3vl-export: " + (package / "manifest.json").string() +
                            ": layout is missing: the package is of an older version of this program; export again\n");
}

TEST_F(Layout, RefusalsSayWhy) {
  const auto refusal_of = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {Q3VL_EXPORT_BINARY, c(), "-o", folder_ / "never"});
    const CommandResult result = run_command(flags);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_FALSE(fs::exists(folder_ / "never"));
    return result.err;
  };
  EXPECT_EQ(refusal_of({"--layout", "flat"}),
            "qwen3vl-export: --layout is \"flat\", expected universal, genai or transformers-js\n");
  EXPECT_EQ(
      refusal_of({"--layout", "universal", "--kv-cache", "int8"}),
      "qwen3vl-export: --layout universal is for Transformers.js too, but Transformers.js has no int8 cache; choose "
      "--layout genai\n");
  EXPECT_EQ(refusal_of({"--layout", "transformers-js", "--components", "text"}),
            "qwen3vl-export: --layout transformers-js is for Transformers.js too, but Transformers.js loads vision, "
            "embedding and text, and only text is written; choose --layout genai\n");
  EXPECT_EQ(
      refusal_of({"--layout", "universal", "--components", "vision,text"}),
      "qwen3vl-export: --layout universal is for Transformers.js too, but Transformers.js loads vision, embedding "
      "and text, and only vision and text are written; choose --layout genai\n");
}

TEST_F(Layout, TheCheckpointsFilesAreCompletedForTransformersJs) {
  const std::string chat = read_json(checkpoint_ / "chat_template.json").at("chat_template");
  edit(checkpoint_ / "config.json", [](json& config) { config.at("text_config").erase("model_type"); });
  edit(checkpoint_ / "preprocessor_config.json", [](json& settings) {
    settings.erase("processor_class");
    settings.erase("resample");
  });
  const fs::path package = exported("package", {"--max-pixels", "500000"});
  EXPECT_EQ(read_json(package / "tokenizer_config.json").at("chat_template"), chat);
  EXPECT_EQ(read_json(package / "config.json").at("text_config").at("model_type"), "qwen3_vl_text");
  const json settings = read_json(package / "preprocessor_config.json");
  EXPECT_EQ(settings.at("processor_class"), "Qwen3VLProcessor");
  EXPECT_EQ(settings.at("do_normalize"), true);
  EXPECT_EQ(settings.at("resample"), 3);
  EXPECT_EQ(settings.at("size").at("longest_edge"), 500000);
  EXPECT_EQ(settings.at("image_mean"), read_json(checkpoint_ / "preprocessor_config.json").at("image_mean"));
}

/// Whichever file a client reads first, it finds the template that Hugging Face takes.
TEST_F(Layout, OneChatTemplateStandsInEveryFile) {
  const std::string sound = read_json(checkpoint_ / "chat_template.json").at("chat_template");
  const std::string taken = "{#- taken -#}\n" + sound;
  std::string written = "\xef\xbb\xbf";
  for (const char c : taken) written += c == '\n' ? "\r\n" : std::string(1, c);
  write_bytes(checkpoint_ / "chat_template.jinja", written);
  const json lists = json::array({{{"name", "default"}, {"template", sound}}, {{"name", "rag"}, {"template", "x"}}});
  for (const json& stale : {json(sound), json(nullptr), lists, json(7)}) {
    edit(checkpoint_ / "tokenizer_config.json", [&](json& settings) { settings["chat_template"] = stale; });
    for (const char* layout : {"universal", "genai"}) {
      const fs::path package = folder_ / "package";
      fs::remove_all(package);
      const CommandResult result = run_command({Q3VL_EXPORT_BINARY, c(), "-o", package, "--layout", layout});
      ASSERT_EQ(result.exit_code, 0) << result.err;
      EXPECT_THAT(result.err,
                  HasSubstr(" another chat template than chat_template.jinja; chat_template.jinja is taken, "
                            "as Hugging Face does\n"));
      EXPECT_EQ(result.err.find("tokenizer_config.json have") != std::string::npos, !stale.is_null()) << result.err;
      EXPECT_EQ(read_bytes(package / "chat_template.jinja"), taken);
      EXPECT_EQ(read_json(package / "chat_template.json").at("chat_template"), taken);
      EXPECT_EQ(read_json(package / "tokenizer_config.json").at("chat_template"), taken);
      EXPECT_EQ(run_command({Q3VL_EXPORT_BINARY, "check", package}).exit_code, 0);
    }
  }
}

TEST_F(Layout, AChatTemplateStandsWhereItStood) {
  edit(checkpoint_ / "tokenizer_config.json", [](json& settings) { settings.erase("chat_template"); });
  const std::string settings = read_bytes(checkpoint_ / "tokenizer_config.json");
  const CommandResult result = run_command({Q3VL_EXPORT_BINARY, c(), "-o", folder_ / "flat", "--layout", "genai"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, Not(HasSubstr("chat template than")));
  EXPECT_EQ(read_bytes(folder_ / "flat/tokenizer_config.json"), settings);
  EXPECT_FALSE(fs::exists(folder_ / "flat/chat_template.jinja"));
}

TEST_F(Layout, ImageSettingsOfTheNewerHomeAreWrittenWhereTransformersJsLooks) {
  const json settings = read_json(checkpoint_ / "preprocessor_config.json");
  fs::remove(checkpoint_ / "preprocessor_config.json");
  write_bytes(checkpoint_ / "processor_config.json", json{{"image_processor", settings}}.dump());
  const fs::path package = exported("package", {});
  EXPECT_EQ(read_json(package / "preprocessor_config.json").at("patch_size"), settings.at("patch_size"));
  EXPECT_THAT(clients(package), Contains("Transformers.js"));
}

TEST_F(Layout, PlanAndInspectSpeakOfTheSameFiles) {
  const CommandResult planned = run_command({Q3VL_EXPORT_BINARY, "plan", c(), "--layout", "transformers-js", "--json"});
  const json plan = json::parse(planned.out);
  const fs::path package = exported("package", {"--layout", "transformers-js"});
  std::map<std::string, std::uint64_t> files;
  for (const auto& [name, file] : plan.at("files").items()) files[name] = file.at("bytes");
  for (const auto& [name, bytes] : tree(package)) EXPECT_EQ(files[name], bytes.size()) << name;
  EXPECT_EQ(plan.at("graphs").at(1).at("file"), "onnx/embed_tokens.onnx");
  EXPECT_EQ(plan.at("graphs").at(1).at("data_files"), json::array({"onnx/embed_tokens.onnx_data"}));
  EXPECT_EQ(plan.at("graphs").at(2).at("data_files"), json::array());
  const json report = json::parse(run_command({Q3VL_EXPORT_BINARY, "inspect", package, "--json"}).out);
  std::set<std::string> read;
  for (const json& client : report.at("clients"))
    if (client.at("name") == "Transformers.js")
      for (const json& file : client.at("files")) read.insert(file.at("name").get<std::string>());
  EXPECT_THAT(read, IsSupersetOf({"config.json", "onnx/embed_tokens.onnx", "onnx/embed_tokens.onnx_data",
                                  "onnx/vision_encoder.onnx_data", "preprocessor_config.json"}));
  EXPECT_THAT(read, Not(Contains("onnx/embedding.onnx")));
}

/// One fault in a sound package, and the finding that it must have.
struct Fault {
  const char* name;
  std::function<void(const fs::path& package)> make;
  std::string finding;
};

void edit_json(const fs::path& path, const std::function<void(json&)>& change) {
  json document = read_json(path);
  change(document);
  write_bytes(path, document.dump());
}

void edit_graph(const fs::path& path, const std::function<void(onnx::GraphProto&)>& change) {
  onnx::ModelProto model = read_model(path);
  change(*model.mutable_graph());
  write_bytes(path, model.SerializeAsString());
}

onnx::ValueInfoProto& value(google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values, const std::string& name) {
  for (onnx::ValueInfoProto& found : values)
    if (found.name() == name) return found;
  throw std::runtime_error("no value " + name);
}

const std::vector<Fault>& faults() {
  static const auto erase = [](const char* file, const char* key) {
    return [=](const fs::path& p) { edit_json(p / file, [=](json& j) { j.erase(key); }); };
  };
  static const auto set = [](const char* file, const char* pointer, const json& to) {
    return [=](const fs::path& p) { edit_json(p / file, [=](json& j) { j[json::json_pointer(pointer)] = to; }); };
  };
  static const std::vector<Fault> list = {
      {"no_config", [](const fs::path& p) { fs::remove(p / "config.json"); },
       "config.json: cannot open: No such file or directory"},
      {"model_type", set("config.json", "/model_type", "qwen2_vl"),
       "config.json: model_type is \"qwen2_vl\", expected qwen3_vl"},
      {"architectures", set("config.json", "/architectures/0", "Qwen3VLModel"),
       "config.json: architectures does not begin with \"Qwen3VLForConditionalGeneration\", by which the model is "
       "chosen"},
      {"text_model_type", set("config.json", "/text_config/model_type", "qwen3"),
       "config.json: text_config.model_type is \"qwen3\", expected qwen3_vl_text, without which there are no caches"},
      {"no_dtype", erase("config.json", "transformers.js_config"), "config.json: transformers.js_config is missing"},
      {"dtype", set("config.json", "/transformers.js_config/dtype", "q4"),
       "config.json: transformers.js_config.dtype is \"q4\", expected fp32, which stands for file names without a "
       "suffix"},
      {"no_processor", erase("preprocessor_config.json", "processor_class"),
       "preprocessor_config.json: processor_class is missing"},
      {"no_normalize", erase("preprocessor_config.json", "do_normalize"),
       "preprocessor_config.json: do_normalize is missing"},
      {"resample", set("preprocessor_config.json", "/resample", 2),
       "preprocessor_config.json: resample is 2, expected 3, bicubic"},
      {"pixels", set("preprocessor_config.json", "/size/longest_edge", 2000000),
       "preprocessor_config.json: the value for max_pixels is 2000000, but 1003520 in vision_processor.json: the "
       "clients "
       "would see different pictures"},
      {"mean", set("preprocessor_config.json", "/image_mean/0", 0.25),
       "preprocessor_config.json: the value for mean is [0.25,0.5,0.5], but [0.5,0.5,0.5] in vision_processor.json: "
       "the "
       "clients would see different pictures"},
      {"no_template", erase("tokenizer_config.json", "chat_template"),
       "tokenizer_config.json: has no chat_template, expected it here: Transformers.js reads it from no other file"},
      {"no_graph", [](const fs::path& p) { fs::remove(p / "onnx/embed_tokens.onnx"); },
       "onnx/embed_tokens.onnx: cannot open: No such file or directory"},
      {"no_data", [](const fs::path& p) { fs::remove(p / "onnx/vision_encoder.onnx_data"); },
       "onnx/vision_encoder.onnx: has external data in vision_encoder.onnx_data, which is missing\n"
       "config.json: transformers.js_config.use_external_data_format counts onnx/vision_encoder.onnx_data, which is "
       "missing"},
      {"genais_embedding",
       [](const fs::path& p) {
         fs::copy_file(p / "onnx/embedding.onnx", p / "onnx/embed_tokens.onnx", fs::copy_options::overwrite_existing);
       },
       "onnx/embed_tokens.onnx: has an input image_features, which Transformers.js does not feed"},
      {"half_pixels",
       [](const fs::path& p) {
         edit_graph(p / "onnx/vision_encoder.onnx", [](onnx::GraphProto& graph) {
           value(*graph.mutable_input(), "pixel_values")
               .mutable_type()
               ->mutable_tensor_type()
               ->set_elem_type(onnx::TensorProto::FLOAT16);
         });
       },
       "onnx/vision_encoder.onnx: pixel_values is float16 [num_patches, 1536], expected float32 of rank 2"},
      {"batch_symbol",
       [](const fs::path& p) {
         edit_graph(p / "onnx/decoder_model_merged.onnx", [](onnx::GraphProto& graph) {
           value(*graph.mutable_input(), "past_key_values.0.key")
               .mutable_type()
               ->mutable_tensor_type()
               ->mutable_shape()
               ->mutable_dim(0)
               ->set_dim_param("batch");
         });
       },
       "onnx/decoder_model_merged.onnx: past_key_values.0.key is float32 [batch, 2, past_sequence_length, 32], "
       "expected "
       "[batch_size, a number of heads, a symbol, a head size]"},
      {"width",
       [](const fs::path& p) {
         edit_graph(p / "onnx/embed_tokens.onnx", [](onnx::GraphProto& graph) {
           value(*graph.mutable_output(), "inputs_embeds")
               .mutable_type()
               ->mutable_tensor_type()
               ->mutable_shape()
               ->mutable_dim(2)
               ->set_dim_value(7);
         });
       },
       "onnx/vision_encoder.onnx: image_features is float32 [num_image_tokens, 512], expected the type and last size "
       "of "
       "inputs_embeds, float32 [batch_size, sequence_length, 7]\n"
       "onnx/embed_tokens.onnx: inputs_embeds is float32 [batch_size, sequence_length, 7], expected the type and last "
       "size of inputs_embeds, float32 [batch_size, sequence_length, 512]"},
      {"not_fetched", set("config.json", "/transformers.js_config/use_external_data_format", json{{"embed_tokens", 1}}),
       "onnx/vision_encoder.onnx: has external data in vision_encoder.onnx_data, which a browser does not fetch: "
       "config.json's transformers.js_config.use_external_data_format says 0\n"
       "onnx/decoder_model_merged.onnx: has external data in decoder_model_merged.onnx_data, which a browser does not "
       "fetch: config.json's transformers.js_config.use_external_data_format says 0"},
      {"not_there", set("config.json", "/transformers.js_config/use_external_data_format/embed_tokens", 2),
       "config.json: transformers.js_config.use_external_data_format counts onnx/embed_tokens.onnx_data_1, which is "
       "missing"},
      {"block_lookup",
       [](const fs::path& p) {
         edit_graph(p / "onnx/embed_tokens.onnx", [](onnx::GraphProto& graph) {
           graph.mutable_node(0)->set_op_type("GatherBlockQuantized");
           graph.mutable_node(0)->set_domain("com.microsoft");
         });
       },
       "onnx/embed_tokens.onnx: has com.microsoft.GatherBlockQuantized, which a browser's ONNX Runtime lacks"},
      {"bfloat16",
       [](const fs::path& p) {
         edit_graph(p / "onnx/vision_encoder.onnx", [](onnx::GraphProto& graph) {
           onnx::TensorProto& added = *graph.add_initializer();
           added.set_name("narrow");
           added.set_data_type(onnx::TensorProto::BFLOAT16);
           added.add_dims(1);
           added.set_raw_data(std::string(2, '\0'));
         });
       },
       "onnx/vision_encoder.onnx: the initializer narrow is bfloat16, which a browser's ONNX Runtime cannot cast"},
  };
  return list;
}

TEST_F(Layout, EachFaultIsFoundByTheContract) {
  const fs::path sound = exported("sound", {"--layout", "transformers-js", "--recipe", "fp32"});
  ASSERT_THAT(transformers_js_contract_findings(sound), IsEmpty());
  for (const Fault& fault : faults()) {
    const fs::path package = folder_ / "faulty";
    fs::copy(sound, package, fs::copy_options::recursive);
    fault.make(package);
    std::string found;
    for (const std::string& finding : transformers_js_contract_findings(package))
      found += (found.empty() ? "" : "\n") + finding;
    EXPECT_EQ(found, fault.finding) << fault.name;
    fs::remove_all(package);
  }
}

/// Weights of given sizes, float32, one row each.
class DataFilesTest : public testing::Test {
 protected:
  void add(const std::string& name, std::int64_t floats) {
    shapes_[name] = {floats};
    const WeightRequest& request = requests_.request(name, {floats}, WeightUse(Role::norm));
    graph_.weight(name, DataType::float32, {floats}, request.blob(0));
  }

  std::map<std::string, Shape> shapes_;
  WeightRequests requests_{[this](const std::string& name) -> std::optional<StoredWeight> {
                             return StoredWeight{DataType::float32, shapes_.at(name)};
                           },
                           [](const WeightUse&) { return Encoding{.format = Encoding::Format::float32}; }};
  Graph graph_{"g"};
};

TEST_F(DataFilesTest, AFileThatIsFullIsFollowedByTheNext) {
  for (const auto& [name, floats] : {std::pair{"a", 16}, std::pair{"b", 16}, std::pair{"c", 20}, std::pair{"d", 1}})
    add(name, floats);
  DataLayout layout;
  layout.place(graph_, requests_, {.name = "onnx/g.onnx_data", .most_bytes = 128});
  EXPECT_THAT(layout.files_of("g"), ElementsAre("onnx/g.onnx_data", "onnx/g.onnx_data_1", "onnx/g.onnx_data_2"));
  EXPECT_EQ(layout.files().at("onnx/g.onnx_data"), 128U);
  EXPECT_EQ(layout.files().at("onnx/g.onnx_data_1"), 80U);
  EXPECT_EQ(layout.files().at("onnx/g.onnx_data_2"), 4U) << "aligned to 64 bytes it would end at 132";
  EXPECT_EQ(layout.at("g", requests_.all()[2]->blob(0)).file, "onnx/g.onnx_data_1");
  EXPECT_EQ(layout.at("g", requests_.all()[2]->blob(0)).offset, 0U);
}

TEST_F(DataFilesTest, AWeightThatFitsNoFileIsRefused) {
  add("a", 16);
  add("large", 40);
  DataLayout layout;
  EXPECT_EQ(
      refusal(ErrorKind::unsupported,
              [&] { layout.place(graph_, requests_, {.name = "onnx/g.onnx_data", .most_bytes = 128}); }),
      "large takes 160 bytes in float32, but a file of onnx/g.onnx_data holds 128 at most, and a weight cannot be "
      "divided; choose a recipe with smaller weights, or another --layout");
}

}  // namespace
}  // namespace q3vl::layout_test
