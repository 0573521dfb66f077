// What a checkpoint or a package is made of, from headers and small files alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {

/// Something that is wrong with a folder.
struct Finding {
  std::string kind;     ///< one word for programs; docs/INSPECT.md lists them
  std::string tensor;   ///< empty where it is not about one tensor of a checkpoint
  std::string message;  ///< one sentence that names the file or the tensor
};

/// A file that somebody reads.
struct InspectedFile {
  std::string name;                    ///< relative to the inspected folder
  std::optional<std::uint64_t> bytes;  ///< nothing when it is missing
};

/// A tensor of a checkpoint, or an initializer of a graph.
struct InspectedTensor {
  std::string name;
  std::string type;  ///< "bfloat16"
  std::vector<std::int64_t> shape;
  std::string file;      ///< empty when the bytes stand in the .onnx file itself
  std::uint64_t offset;  ///< of its first byte in `file`
  std::uint64_t bytes;
};

/// text_config, under its own names.
struct InspectedText {
  std::int64_t num_hidden_layers;
  std::int64_t hidden_size;
  std::int64_t intermediate_size;
  std::int64_t num_attention_heads;
  std::int64_t num_key_value_heads;
  std::int64_t head_dim;
  std::int64_t vocab_size;
  std::int64_t max_position_embeddings;
  double rope_theta;
  std::vector<std::int64_t> mrope_section;
  bool tie_word_embeddings;
  std::optional<std::int64_t> bos_token_id;
  std::vector<std::int64_t> eos_token_id;
  std::optional<std::int64_t> pad_token_id;
};

/// vision_config and the tokens that stand for pictures, under their own names.
struct InspectedVision {
  std::int64_t depth;
  std::int64_t hidden_size;
  std::int64_t intermediate_size;
  std::int64_t num_heads;
  std::int64_t patch_size;
  std::int64_t temporal_patch_size;
  std::int64_t spatial_merge_size;
  std::int64_t num_position_embeddings;
  std::vector<std::int64_t> deepstack_visual_indexes;
  std::int64_t image_token_id;
  std::int64_t video_token_id;
  std::int64_t vision_start_token_id;
  std::int64_t vision_end_token_id;
};

struct InspectedConfig {
  InspectedText text;
  std::optional<InspectedVision> vision;
};

/// A tensor that belongs to a module directly.
struct ModuleTensor {
  std::string name;  ///< "weight"
  std::string type;
  std::vector<std::int64_t> shape;

  bool operator==(const ModuleTensor&) const = default;
};

/// A node of the tree that tensor names span, split at their dots. Numbered children that are alike in every name,
/// shape and type are one node.
struct InspectedModule {
  std::string name;                                            ///< empty for the root and for numbered modules
  std::vector<std::pair<std::int64_t, std::int64_t>> indexes;  ///< of numbered modules: ranges, first to last
  std::int64_t copies = 1;                                     ///< how many modules this node is
  std::int64_t parameters = 0;                                 ///< of all copies and all below, as the two that follow
  std::uint64_t bytes = 0;
  std::map<std::string, std::int64_t> parameters_by_type;
  std::vector<ModuleTensor> tensors;  ///< of one copy
  std::vector<InspectedModule> children;

  bool operator==(const InspectedModule&) const = default;
};

struct InspectedShard {
  std::string file;
  std::uint64_t bytes;
  std::int64_t tensors;
};

struct CheckpointInspection {
  std::optional<InspectedConfig> config;  ///< nothing when config.json is absent or not one that is exported
  InspectedModule model;                  ///< the root of the tree
  std::vector<InspectedShard> shards;
  std::vector<InspectedTensor> tensors;  ///< by name
  std::vector<Finding> findings;
};

/// An input or an output of a graph.
struct InspectedValue {
  std::string name;
  std::string type;
  std::vector<std::variant<std::int64_t, std::string>> shape;  ///< sizes, and names of sizes that vary
  bool sequence;                                               ///< a sequence of such tensors
};

/// Nodes that read weights quantised in blocks.
struct InspectedQuantization {
  std::string op;
  std::int64_t bits;
  std::int64_t block_size;
  std::int64_t nodes;
};

struct InspectedGraph {
  std::string file;
  std::uint64_t bytes;
  std::int64_t ir_version;
  std::map<std::string, std::int64_t> opsets;  ///< by domain; "" is ai.onnx
  std::vector<InspectedValue> inputs;
  std::vector<InspectedValue> outputs;
  std::int64_t nodes;                             ///< of the graph and its subgraphs
  std::map<std::string, std::int64_t> operators;  ///< "MatMul", "com.microsoft.MatMulNBits": how many of the nodes
  std::vector<InspectedQuantization> quantized;
  std::vector<InspectedTensor> initializers;
};

/// A file of external data and how the graphs use it.
struct InspectedDataFile {
  InspectedFile file;
  std::vector<std::string> graphs;
  std::int64_t initializers;   ///< of all graphs
  std::uint64_t used_bytes;    ///< that initializers refer to, each counted once
  std::uint64_t shared_bytes;  ///< of these, what more than one graph refers to
  std::int64_t gaps;           ///< runs of bytes that no initializer refers to
  std::uint64_t unused_bytes;  ///< in the gaps
};

/// What manifest.json says of one role.
struct InspectedRole {
  std::string role;
  std::string encoding;
  std::int64_t weights;
  std::uint64_t bytes;
  std::map<std::string, std::uint64_t> files;  ///< file → bytes
};

struct InspectedManifest {
  std::map<std::string, std::string> versions;
  std::string recipe_name;
  std::vector<std::string> components;
  std::optional<std::int64_t> max_length;
  std::optional<std::int64_t> max_pixels;
  std::vector<InspectedRole> roles;
};

/// A program that loads packages: what it will read of this one.
struct InspectedClient {
  std::string name;  ///< "onnxruntime", "onnxruntime-genai", "Transformers.js"
  std::vector<InspectedFile> files;
  bool loads;  ///< false when a finding is in its way
};

struct PackageInspection {
  std::optional<InspectedManifest> manifest;
  std::vector<InspectedFile> files;  ///< all of the folder, by name
  std::vector<InspectedGraph> graphs;
  std::vector<InspectedDataFile> data_files;
  std::vector<InspectedClient> clients;
  std::vector<std::string> notes;  ///< what is worth knowing and no fault
  std::vector<Finding> findings;
};

enum class FolderKind { checkpoint, package };

/// A package has an .onnx file or a genai_config.json; a checkpoint has a .safetensors file; of a package of which only
/// manifest.json is left that file tells. Throws Error(bad_input) for anything else.
FolderKind recognize_folder(const std::filesystem::path& folder);

/// Reads config.json, the small files and the headers of the weights. What is missing, contradictory or not exported is
/// a finding. Throws Error(bad_input) for a safetensors header that cannot be read.
CheckpointInspection inspect_checkpoint(const std::filesystem::path& folder);

/// Reads the graphs, without their weights, and the small files. What cannot be read is a finding.
PackageInspection inspect_package(const std::filesystem::path& folder);

}  // namespace q3vl
