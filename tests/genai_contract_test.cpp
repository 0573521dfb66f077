// The check of a finished package: a minimal sound one has no findings, and each single fault has exactly one. The
// package is written by hand from onnxruntime-genai's documented contract, without the exporter's own writers.
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "package/genai/contract.h"

namespace q3vl::genai_contract_test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct TensorInfo {
  std::string name;
  int type;
  std::vector<std::string> dims;  // digits are a known size
};

struct Weight {
  int type = onnx::TensorProto::FLOAT;
  std::int64_t size = 8;
  std::string location = "model.onnx.data";
  std::string offset = "64";
  std::string length = "32";
};

struct Model {
  std::vector<TensorInfo> inputs;
  std::vector<TensorInfo> outputs;
  std::vector<Weight> weights;

  TensorInfo& find(const std::string& name) {
    for (auto* values : {&inputs, &outputs})
      for (TensorInfo& value : *values)
        if (value.name == name) return value;
    throw std::runtime_error("no value " + name);
  }
};

void fill(onnx::ValueInfoProto* proto, const TensorInfo& value) {
  proto->set_name(value.name);
  auto* tensor = proto->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(value.type);
  tensor->mutable_shape();
  for (const std::string& size : value.dims) {
    auto* dim = tensor->mutable_shape()->add_dim();
    if (std::isdigit(static_cast<unsigned char>(size[0])))
      dim->set_dim_value(std::stoll(size));
    else
      dim->set_dim_param(size);
  }
}

std::string serialize(const Model& model) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(17);
  proto.mutable_graph()->set_name("g");
  for (const TensorInfo& value : model.inputs) fill(proto.mutable_graph()->add_input(), value);
  for (const TensorInfo& value : model.outputs) fill(proto.mutable_graph()->add_output(), value);
  for (const Weight& weight : model.weights) {
    auto* tensor = proto.mutable_graph()->add_initializer();
    tensor->set_name("weight");
    tensor->set_data_type(weight.type);
    tensor->add_dims(weight.size);
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, text] :
         {std::pair{"location", weight.location}, {"offset", weight.offset}, {"length", weight.length}}) {
      auto* entry = tensor->add_external_data();
      entry->set_key(key);
      entry->set_value(text);
    }
  }
  return proto.SerializeAsString();
}

constexpr int kFloat = onnx::TensorProto::FLOAT;
constexpr int kHalf = onnx::TensorProto::FLOAT16;
constexpr int kInt64 = onnx::TensorProto::INT64;
constexpr int kInt32 = onnx::TensorProto::INT32;
constexpr int kInt8 = onnx::TensorProto::INT8;

/// A package in memory: two layers, two heads of 32 in the cache, hidden size 64 and one DeepStack level.
struct Package {
  std::map<std::string, Json> documents;
  std::map<std::string, Model> models;
  std::map<std::string, std::string> files;  // name → bytes; what is written last

  Json& config() { return documents["genai_config.json"]; }
  Json& processor() { return documents["vision_processor.json"]; }
  Json& tokenizer() { return documents["tokenizer.json"]; }
  Json& tokenizer_config() { return documents["tokenizer_config.json"]; }
  Json& transform(int index) { return processor()["processor"]["transforms"][index]["operation"]; }

  std::vector<std::string> findings() const {
    std::string name = (fs::temp_directory_path() / "q3vl_package_XXXXXX").string();
    const fs::path folder = ::mkdtemp(name.data());
    std::map<std::string, std::string> all;
    for (const auto& [file, document] : documents) all[file] = document.dump(1);
    for (const auto& [file, model] : models) all[file] = serialize(model);
    all["model.onnx.data"] = std::string(96, 'x');
    for (const auto& [file, bytes] : files) all[file] = bytes;
    for (const auto& [file, bytes] : all)
      if (bytes != "(absent)") std::ofstream(folder / file, std::ios::binary) << bytes;
    std::vector<std::string> found = q3vl::genai_contract_findings(folder);
    fs::remove_all(folder);
    return found;
  }
};

Model decoder(bool multimodal) {
  Model model;
  if (multimodal) {
    model.inputs.push_back({"inputs_embeds", kFloat, {"batch", "sequence", "128"}});
    model.inputs.push_back({"position_ids", kInt64, {"3", "batch", "sequence"}});
  } else {
    model.inputs.push_back({"input_ids", kInt64, {"batch", "sequence"}});
    model.inputs.push_back({"position_ids", kInt64, {"batch", "sequence"}});
  }
  model.inputs.push_back({"attention_mask", kInt64, {"batch", "total"}});
  model.outputs.push_back({"logits", kFloat, {"batch", "1", "1000"}});
  for (const char* part : {"0.key", "0.value", "1.key", "1.value"}) {
    model.inputs.push_back({std::string("past_key_values.").append(part), kFloat, {"batch", "2", "past", "32"}});
    model.outputs.push_back({std::string("present.").append(part), kFloat, {"batch", "2", "total", "32"}});
  }
  model.weights.push_back({});
  return model;
}

Package text_package() {
  Package package;
  package.config() = Json::parse(R"({
    "model": {
      "type": "qwen3", "vocab_size": 1000, "context_length": 4096,
      "bos_token_id": 900, "eos_token_id": [902, 900], "pad_token_id": 900,
      "decoder": {
        "filename": "model.onnx", "head_size": 32, "hidden_size": 64, "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": 2,
        "session_options": {"log_id": "onnxruntime-genai", "intra_op_num_threads": 2,
                            "session.use_env_allocators": "1", "provider_options": [{"cpu": {"arena": "1"}}]},
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", "position_ids": "position_ids",
                   "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"},
        "outputs": {"logits": "logits", "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value"}}},
    "search": {"do_sample": true, "max_length": 4096, "min_length": 0, "num_beams": 1, "top_k": 20, "top_p": 0.8,
               "temperature": 1, "past_present_share_buffer": true}})");
  package.tokenizer() = Json::parse(R"({"added_tokens": [
    {"id": 900, "content": "<|endoftext|>"}, {"id": 902, "content": "<|im_end|>"},
    {"id": 903, "content": "<|vision_start|>"}, {"id": 904, "content": "<|vision_end|>"},
    {"id": 905, "content": "<|image_pad|>"}, {"id": 906, "content": "<|video_pad|>"}]})");
  package.tokenizer_config() = Json::parse(R"({"bos_token": null, "eos_token": "<|im_end|>",
    "pad_token": {"content": "<|endoftext|>", "special": true}, "chat_template": "{{ messages }}"})");
  package.models["model.onnx"] = decoder(false);
  return package;
}

Package multimodal_package() {
  Package package = text_package();
  Json& model = package.config()["model"];
  model["type"] = "qwen3_vl";
  model["image_token_id"] = 905;
  model["video_token_id"] = 906;
  model["vision_start_token_id"] = 903;
  model["decoder"]["hidden_size"] = 128;
  model["decoder"]["inputs"].erase("input_ids");
  model["decoder"]["inputs"]["inputs_embeds"] = "inputs_embeds";
  model["embedding"] = Json::parse(R"({"filename": "embedding.onnx",
    "inputs": {"input_ids": "input_ids", "image_features": "image_features"},
    "outputs": {"inputs_embeds": "inputs_embeds"}})");
  model["vision"] = Json::parse(R"({"filename": "vision.onnx", "config_filename": "vision_processor.json",
    "spatial_merge_size": 2, "patch_size": 16, "tokens_per_second": 2.0,
    "inputs": {"pixel_values": "pixel_values", "image_grid_thw": "image_grid_thw"},
    "outputs": {"image_features": "image_features"}})");
  package.processor() = Json::parse(R"({"processor": {"name": "qwen3_vl_image_processor", "transforms": [
    {"operation": {"name": "decode", "type": "DecodeImage", "attrs": {"color_space": "RGB"}}},
    {"operation": {"name": "convert", "type": "ConvertRGB"}},
    {"operation": {"name": "resize", "type": "Resize", "attrs": {"width": 512, "height": 512, "smart_resize": 1,
      "min_pixels": 65536, "max_pixels": 1003520, "patch_size": 16, "merge_size": 2, "interpolation": "CUBIC"}}},
    {"operation": {"name": "rescale", "type": "Rescale", "attrs": {"rescale_factor": 0.00392156862745098}}},
    {"operation": {"name": "normalize", "type": "Normalize",
      "attrs": {"mean": [0.5, 0.5, 0.0], "std": [0.5, 0.5, 1.0], "qwen3_vl": 1}}},
    {"operation": {"name": "patch", "type": "PatchImage",
      "attrs": {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}}}]}})");
  package.models["model.onnx"] = decoder(true);
  package.models["embedding.onnx"] = {
      {{"input_ids", kInt64, {"batch", "sequence"}}, {"image_features", kFloat, {"tokens", "128"}}},
      {{"inputs_embeds", kFloat, {"batch", "sequence", "128"}}},
      {}};
  package.models["vision.onnx"] = {
      {{"pixel_values", kFloat, {"patches", "1536"}}, {"image_grid_thw", kInt64, {"images", "3"}}},
      {{"image_features", kFloat, {"tokens", "128"}}},
      {}};
  return package;
}

void resize(Package& package, const std::string& file, const std::string& value, std::size_t axis, std::string size) {
  package.models[file].find(value).dims[axis] = std::move(size);
}

using Findings = std::vector<std::string>;

TEST(GenaiContract, ASoundPackageHasNoFindings) {
  EXPECT_EQ(multimodal_package().findings(), Findings{});
  EXPECT_EQ(text_package().findings(), Findings{});
}

TEST(GenaiContract, AcceptsWhatTheRuntimeAccepts) {
  Package p = multimodal_package();
  p.config()["model"]["eos_token_id"] = 902;          // one id alone
  p.config()["model"]["vocab_size"] = 1000.0;         // integral is enough
  p.processor()["processor"]["transforms"].erase(1);  // neither channel swap …
  p.transform(3)["attrs"].erase("qwen3_vl");          // … is as good as both
  p.tokenizer_config().erase("chat_template");
  p.files["chat_template.json"] = R"({"chat_template": "{{ messages }}"})";  // the third home
  resize(p, "vision.onnx", "image_grid_thw", 0, "1");                        // one image a call
  resize(p, "model.onnx", "logits", 1, "sequence");
  std::erase_if(p.models["model.onnx"].inputs, [](const TensorInfo& v) { return v.name == "position_ids"; });
  EXPECT_EQ(p.findings(), Findings{});
}

TEST(GenaiContract, AcceptsACacheOfInt8AltogetherOrNotAtAll) {
  Package p = multimodal_package();
  for (auto* values : {&p.models["model.onnx"].inputs, &p.models["model.onnx"].outputs})
    for (TensorInfo& value : *values)
      if (value.name.ends_with(".key") || value.name.ends_with(".value")) value.type = kInt8;
  EXPECT_EQ(p.findings(), Findings{});
  p.models["model.onnx"].find("present.1.value").type = kFloat;
  ASSERT_EQ(p.findings().size(), 1U);
  EXPECT_EQ(p.findings()[0],
            "model.onnx: present.1.value is float32 [batch, 2, total, 32], expected the type, heads and head size of "
            "past_key_values.0.key, int8 [batch, 2, past, 32]");
}

struct Fault {
  std::function<void(Package&)> make;
  std::string finding;
};

void expect_each(Package (*sound)(), const std::vector<Fault>& faults) {
  for (const Fault& fault : faults) {
    Package package = sound();
    fault.make(package);
    EXPECT_EQ(package.findings(), Findings{fault.finding});
  }
}

Json& model_of(Package& p) {
  return p.config()["model"];
}

TEST(GenaiContract, HoldsTheKeysOfGenaiConfig) {
  expect_each(
      multimodal_package,
      {{[](Package& p) { p.files["genai_config.json"] = "(absent)"; },
        "genai_config.json: cannot open: No such file or directory"},
       {[](Package& p) { p.files["genai_config.json"] = R"({"model": {}, "model": {}})"; },
        "genai_config.json: the key \"model\" stands twice in one object"},
       {[](Package& p) { p.config()["comment"] = "made by hand"; },
        "genai_config.json: comment is not a key that onnxruntime-genai reads for model.type qwen3_vl"},
       {[](Package& p) { model_of(p)["vision"]["outputs"]["deepstack_features"] = "deepstack_features"; },
        "genai_config.json: model.vision.outputs.deepstack_features is not a key that onnxruntime-genai reads for "
        "model.type qwen3_vl"},
       {[](Package& p) { model_of(p)["decoder"]["pipeline"] = Json::array(); },
        "genai_config.json: model.decoder.pipeline is not a key that onnxruntime-genai reads for model.type qwen3_vl"},
       {[](Package& p) { model_of(p)["type"] = "qwen3_vl_moe"; },
        R"(genai_config.json: model.type is "qwen3_vl_moe", expected "qwen3_vl" or "qwen3")"},
       {[](Package& p) { p.config()["search"]["top_k"] = nullptr; },
        "genai_config.json: search.top_k is null, expected an integer of 32 bits"},
       {[](Package& p) { p.config()["search"]["max_length"] = 100.5; },
        "genai_config.json: search.max_length is 100.5, expected an integer of 32 bits"},
       {[](Package& p) { model_of(p)["context_length"] = 3000000000; },
        "genai_config.json: model.context_length is 3000000000, expected an integer of 32 bits"},
       {[](Package& p) { p.config()["search"]["top_p"] = "0.8"; },
        "genai_config.json: search.top_p is \"0.8\", expected a number"},
       {[](Package& p) { p.config()["search"]["do_sample"] = 1; },
        "genai_config.json: search.do_sample is 1, expected true or false"},
       {[](Package& p) { model_of(p)["eos_token_id"] = Json::array(); },
        "genai_config.json: model.eos_token_id is an array, expected an integer of 32 bits or an array of them"},
       {[](Package& p) { model_of(p)["decoder"]["session_options"]["session.disable_prepacking"] = 1; },
        "genai_config.json: model.decoder.session_options.session.disable_prepacking is 1, expected a string"},
       {[](Package& p) { model_of(p)["decoder"]["session_options"]["provider_options"][0]["cpu"]["arena"] = true; },
        "genai_config.json: model.decoder.session_options.provider_options.cpu.arena is true, expected a string"},
       {[](Package& p) { model_of(p).erase("image_token_id"); }, "genai_config.json: model.image_token_id is missing"},
       {[](Package& p) { model_of(p)["vision"]["inputs"].erase("image_grid_thw"); },
        "genai_config.json: model.vision.inputs.image_grid_thw is missing"},
       {[](Package& p) { p.config()["search"]["max_length"] = 4097; },
        "genai_config.json: search.max_length is 4097, expected 1 to model.context_length = 4096"},
       {[](Package& p) { p.config()["search"]["num_beams"] = 4; },
        "genai_config.json: search.num_beams is 4, expected 1: no more run with an image"},
       {[](Package& p) { model_of(p)["decoder"]["filename"] = "../model.onnx"; },
        "genai_config.json: model.decoder.filename is \"../model.onnx\", expected a path inside the package"},
       {[](Package& p) { model_of(p)["vision"]["config_filename"] = "/etc/vision_processor.json"; },
        "genai_config.json: model.vision.config_filename is \"/etc/vision_processor.json\", expected a path inside the "
        "package"}});
}

TEST(GenaiContract, HoldsTheGraphsAgainstTheConfigurationAndEachOther) {
  const auto value = [](Package& p, const char* file, const char* name) -> TensorInfo& {
    return p.models[file].find(name);
  };
  expect_each(
      multimodal_package,
      {{[](Package& p) { p.files["embedding.onnx"] = "(absent)"; },
        "embedding.onnx: cannot open: No such file or directory"},
       {[](Package& p) { p.files["embedding.onnx"] = "not a model"; },
        "embedding.onnx: is not an ONNX model, or a damaged one"},
       {[](Package& p) { model_of(p)["decoder"]["hidden_size"] = 64; },
        "genai_config.json: model.decoder.hidden_size is 64, expected 128, the width of inputs_embeds in model.onnx"},
       {[&](Package& p) { resize(p, "vision.onnx", "image_features", 1, "64"); },
        "vision.onnx: image_features is float32 [tokens, 64], expected a last size of 128 as inputs_embeds of "
        "model.onnx"},
       {[&](Package& p) {
          value(p, "vision.onnx", "image_features").dims = {"1", "tokens", "128"};
        },
        "vision.onnx: image_features is float32 [1, tokens, 128], expected float32 or float16 or bfloat16 of rank 2"},
       {[&](Package& p) { value(p, "vision.onnx", "image_features").type = kHalf; },
        "vision.onnx: image_features is of float16, but embedding.onnx takes image_features of float32"},
       {[&](Package& p) { value(p, "vision.onnx", "image_grid_thw").name = "grid"; },
        "vision.onnx: has no input image_grid_thw"},
       {[](Package& p) { model_of(p)["vision"]["inputs"]["image_grid_thw"] = "grid"; },
        "genai_config.json: model.vision.inputs.image_grid_thw is \"grid\", expected \"image_grid_thw\", the one name "
        "that is fed"},
       {[&](Package& p) { value(p, "vision.onnx", "image_grid_thw").type = kInt32; },
        "vision.onnx: image_grid_thw is int32 [images, 3], expected int64 of rank 2"},
       {[&](Package& p) { resize(p, "vision.onnx", "image_grid_thw", 1, "2"); },
        "vision.onnx: image_grid_thw is int64 [images, 2], expected [images, 3]"},
       {[&](Package& p) { resize(p, "vision.onnx", "pixel_values", 1, "768"); },
        "vision.onnx: pixel_values is float32 [patches, 768], expected a last size of 1536, which the image "
        "transforms make"},
       {[](Package& p) {
          p.models["vision.onnx"].inputs.push_back({"mask", kFloat, {"patches"}});
        },
        "vision.onnx: has an input mask, which onnxruntime-genai does not feed"},
       {[&](Package& p) { resize(p, "embedding.onnx", "image_features", 1, "tokens"); },
        "embedding.onnx: image_features is float32 [tokens, tokens], expected a last size of 128 as inputs_embeds of "
        "model.onnx"},
       {[&](Package& p) { resize(p, "embedding.onnx", "inputs_embeds", 2, "64"); },
        "embedding.onnx: inputs_embeds is float32 [batch, sequence, 64], expected a last size of 128 as "
        "inputs_embeds of model.onnx"},
       {[&](Package& p) { value(p, "embedding.onnx", "inputs_embeds").type = kHalf; },
        "embedding.onnx: inputs_embeds is of float16, but model.onnx takes inputs_embeds of float32"},
       {[](Package& p) { model_of(p)["embedding"]["inputs"]["input_ids"] = "tokens"; },
        "genai_config.json: model.embedding.inputs.input_ids is \"tokens\", expected \"input_ids\", the name that is "
        "fed"},
       {[](Package& p) {
          p.models["model.onnx"].inputs.push_back({"input_ids", kInt64, {"batch", "sequence"}});
        },
        "model.onnx: has an input input_ids, expected none beside inputs_embeds"},
       {[&](Package& p) { resize(p, "model.onnx", "inputs_embeds", 2, "hidden"); },
        "model.onnx: inputs_embeds is float32 [batch, sequence, hidden], expected a known last size"},
       {[&](Package& p) { value(p, "model.onnx", "position_ids").type = kInt32; },
        "model.onnx: attention_mask is of int64 and position_ids of int32, expected the same type"},
       {[&](Package& p) {
          value(p, "model.onnx", "position_ids").dims = {"batch", "sequence"};
        },
        "model.onnx: position_ids is int64 [batch, sequence], expected int64 or int32 of rank 3"},
       {[&](Package& p) { resize(p, "model.onnx", "position_ids", 0, "4"); },
        "model.onnx: position_ids is int64 [4, batch, sequence], expected [3, batch, sequence]"},
       {[&](Package& p) { resize(p, "model.onnx", "logits", 2, "999"); },
        "model.onnx: logits is float32 [batch, 1, 999], expected a last size of model.vocab_size = 1000"},
       {[](Package& p) { p.models["model.onnx"].find("logits").name = "scores"; }, "model.onnx: has no output logits"},
       {[](Package& p) { model_of(p)["decoder"]["num_hidden_layers"] = 3; },
        "genai_config.json: model.decoder.num_hidden_layers is 3, but model.onnx has 2 inputs past_key_values.%d.key"},
       {[](Package& p) { model_of(p)["decoder"]["num_key_value_heads"] = 4; },
        "genai_config.json: model.decoder.num_key_value_heads is 4, but past_key_values.0.key of model.onnx is float32 "
        "[batch, 2, past, 32]"},
       {[](Package& p) { model_of(p)["decoder"]["head_size"] = 16; },
        "genai_config.json: model.decoder.head_size is 16, but past_key_values.0.key of model.onnx is float32 "
        "[batch, 2, past, 32]"},
       {[&](Package& p) { value(p, "model.onnx", "present.1.value").type = kHalf; },
        "model.onnx: present.1.value is float16 [batch, 2, total, 32], expected the type, heads and head size of "
        "past_key_values.0.key, float32 [batch, 2, past, 32]"},
       {[&](Package& p) { resize(p, "model.onnx", "past_key_values.1.value", 3, "16"); },
        "model.onnx: past_key_values.1.value is float32 [batch, 2, past, 16], expected the type, heads and head size "
        "of past_key_values.0.key, float32 [batch, 2, past, 32]"},
       {[&](Package& p) { value(p, "model.onnx", "past_key_values.1.value").name = "past_value_1"; },
        "model.onnx: has no input past_key_values.1.value"}});
}

TEST(GenaiContract, HoldsTheExternalData) {
  const auto weight = [](Package& p) -> Weight& { return p.models["model.onnx"].weights[0]; };
  expect_each(multimodal_package,
              {{[](Package& p) { p.files["model.onnx.data"] = "(absent)"; },
                "model.onnx: has external data in model.onnx.data, which is missing"},
               {[&](Package& p) { weight(p).location = "weights/model.onnx.data"; },
                "model.onnx: has external data in \"weights/model.onnx.data\", expected a file name alone"},
               {[](Package& p) { p.files["model.onnx.data"] = std::string(95, 'x'); },
                "model.onnx: the initializer weight has 32 bytes from byte 64 on in model.onnx.data, which ends at 95"},
               {[&](Package& p) { weight(p).offset = "18446744073709551600"; },
                "model.onnx: the initializer weight has 32 bytes from byte 18446744073709551600 on in model.onnx.data, "
                "which ends at 96"},
               {[&](Package& p) { weight(p).length = "28"; },
                "model.onnx: the initializer weight has 28 bytes in model.onnx.data, expected 32 for float32 [8]"},
               {[&](Package& p) { weight(p).offset = "-1"; },
                "model.onnx: initializer weight: the external data's offset is \"-1\", expected a number"}});
}

TEST(GenaiContract, HoldsTheImageTransforms) {
  expect_each(
      multimodal_package,
      {{[](Package& p) { p.files["vision_processor.json"] = "(absent)"; },
        "vision_processor.json: cannot open: No such file or directory"},
       {[](Package& p) { p.processor()["size"] = 1; }, "vision_processor.json: expected one object called processor"},
       {[](Package& p) { p.processor()["processor"]["transforms"][3]["op"] = 1; },
        R"(vision_processor.json: transform 4 is not of the form {"operation": {"name", "type", "attrs"}})"},
       {[](Package& p) { std::swap(p.transform(3), p.transform(4)); },
        "vision_processor.json: the transforms are DecodeImage, ConvertRGB, Resize, Normalize, Rescale, PatchImage, "
        "expected DecodeImage, ConvertRGB, Resize, Rescale, Normalize, PatchImage"},
       {[](Package& p) { p.transform(2)["attrs"]["resample"] = 3; },
        "vision_processor.json: Resize: resample is not a known attribute"},
       {[](Package& p) { p.transform(2)["attrs"].erase("max_pixels"); },
        "vision_processor.json: Resize: max_pixels is missing"},
       {[](Package& p) { p.transform(2)["attrs"]["patch_size"] = 16.0; },
        "vision_processor.json: Resize: patch_size is 16.0, expected an integer of 1 or more"},
       {[](Package& p) { p.transform(2)["attrs"]["min_pixels"] = 2000000; },
        "vision_processor.json: Resize: min_pixels is 2000000, more than max_pixels = 1003520"},
       {[](Package& p) { p.transform(3)["attrs"]["rescale_factor"] = 1; },
        "vision_processor.json: Rescale: rescale_factor is 1, expected a number with a decimal point"},
       {[](Package& p) {
          p.transform(4)["attrs"]["mean"] = {0, 0, 0};
        },
        "vision_processor.json: Normalize: mean is [0,0,0], expected three numbers with decimal points"},
       {[](Package& p) { p.processor()["processor"]["transforms"].erase(1); },
        "vision_processor.json: Normalize's qwen3_vl swaps the channels and ConvertRGB does not swap them back; "
        "expected both or neither"},
       {[](Package& p) { p.transform(4)["attrs"].erase("qwen3_vl"); },
        "vision_processor.json: ConvertRGB swaps the channels and Normalize's qwen3_vl does not swap them back; "
        "expected both or neither"},
       {[](Package& p) { p.transform(5)["attrs"]["merge_size"] = 1; },
        "vision_processor.json: merge_size is 2 in Resize and 1 in PatchImage, expected equal ones"},
       {[](Package& p) { model_of(p)["vision"]["spatial_merge_size"] = 1; },
        "genai_config.json: model.vision.spatial_merge_size is 1, but 2 in vision_processor.json"},
       {[](Package& p) { model_of(p)["vision"]["patch_size"] = 14; },
        "genai_config.json: model.vision.patch_size is 14, but 16 in vision_processor.json"},
       {[](Package& p) {
          model_of(p)["vision"].erase("patch_size");
          for (const int index : {2, 5}) p.transform(index)["attrs"]["patch_size"] = std::int64_t{1} << 32;
        },
        "vision.onnx: pixel_values is float32 [patches, 1536], expected a last size of more than 2^63, which the image "
        "transforms make"}});
}

TEST(GenaiContract, HoldsTheTokenizerFiles) {
  expect_each(
      multimodal_package,
      {{[](Package& p) { p.files["tokenizer.json"] = "(absent)"; }, "tokenizer.json: is missing"},
       {[](Package& p) { p.files["tokenizer.json"] = "[]"; }, "tokenizer.json: is an array, expected an object"},
       {[](Package& p) { p.tokenizer()["added_tokens"].erase(3); },
        "tokenizer.json: has no added token <|vision_end|>"},
       {[](Package& p) { model_of(p)["image_token_id"] = 906; },
        "genai_config.json: model.image_token_id is 906, but <|image_pad|> is 905 in tokenizer.json"},
       {[](Package& p) { model_of(p)["video_token_id"] = 0; },
        "genai_config.json: model.video_token_id is 0, but <|video_pad|> is 906 in tokenizer.json"},
       {[](Package& p) { p.tokenizer()["added_tokens"][2]["id"] = 910; },
        "genai_config.json: model.vision_start_token_id is 903, but <|vision_start|> is 910 in tokenizer.json"},
       {[](Package& p) { model_of(p)["tokenizer_dir"] = "../elsewhere"; },
        "genai_config.json: model.tokenizer_dir is \"../elsewhere\", expected a path inside the package"},
       {[](Package& p) { p.tokenizer_config().erase("chat_template"); },
        "tokenizer_config.json: has no chat_template, and neither has chat_template.jinja nor chat_template.json; "
        "expected it in one"}});
}

TEST(GenaiContract, ANameThatNoFileCanHaveIsOneOfNoFile) {
  Package p = multimodal_package();
  model_of(p)["tokenizer_dir"] = std::string(300, 'x');
  EXPECT_EQ(p.findings(), (Findings{"tokenizer.json: is missing", "tokenizer_config.json: is missing",
                                    "tokenizer_config.json: has no chat_template, and neither has chat_template.jinja "
                                    "nor chat_template.json; expected it in one"}));
}

TEST(GenaiContract, HoldsTheTextOnlyPackage) {
  expect_each(
      text_package,
      {{[](Package& p) { model_of(p)["image_token_id"] = 905; },
        "genai_config.json: model.image_token_id is not a key that onnxruntime-genai reads for model.type qwen3"},
       {[](Package& p) { model_of(p)["decoder"]["inputs"].erase("input_ids"); },
        "genai_config.json: model.decoder.inputs.input_ids is missing"},
       {[](Package& p) { p.models["model.onnx"].find("input_ids").name = "inputs_embeds"; },
        "model.onnx: has no input input_ids"},
       {[](Package& p) {
          p.models["model.onnx"].find("position_ids").dims = {"3", "batch", "sequence"};
        },
        "model.onnx: position_ids is int64 [3, batch, sequence], expected int64 or int32 of rank 2"},
       {[](Package& p) {
          p.models["model.onnx"].find("logits").dims = {"batch", "1000"};
        },
        "model.onnx: logits is float32 [batch, 1000], expected float32 or float16 or bfloat16 of rank 3"}});
}

}  // namespace
}  // namespace q3vl::genai_contract_test
