#include "runtime/decoder.h"

#include <fmt/format.h>

#include "contract/graph_io.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

HostTensor take(NamedTensors& outputs, const std::string& name) {
  const auto found = outputs.find(name);
  if (found == outputs.end()) throw Error(ErrorKind::bad_input, fmt::format("the graph has no output {}", name));
  return std::move(found->second);
}

CacheMode cache_mode(const std::string& name, CacheMode otherwise) {
  if (name.empty()) return otherwise;
  if (name == "shared") return CacheMode::shared;
  if (name == "growing") return CacheMode::growing;
  throw Error(ErrorKind::usage, fmt::format("--cache is \"{}\", expected shared or growing", name));
}

std::int64_t Decoder::cache_bytes_per_token() const {
  const DataType type = session_.input(contract::layer_name(config_.past_key, 0)).type;
  return 2 * config_.num_hidden_layers * config_.num_key_value_heads * config_.head_size *
         static_cast<std::int64_t>(size_of(type));
}

KvCache Decoder::make_cache(CacheMode mode, std::int64_t batch, std::int64_t capacity) const {
  const HostTensor empty = HostTensor::zeros(
      session_.input(contract::layer_name(config_.past_key, 0)).type,
      {batch, config_.num_key_value_heads, mode == CacheMode::shared ? capacity : 0, config_.head_size});
  const auto layers = static_cast<std::size_t>(config_.num_hidden_layers);
  KvCache cache{
      .mode = mode, .length = 0, .shared_keys = {}, .shared_values = {}, .growing_keys = {}, .growing_values = {}};
  if (mode == CacheMode::shared)
    for (auto* tensors : {&cache.shared_keys, &cache.shared_values}) tensors->assign(layers, empty);
  else
    for (auto* tensors : {&cache.growing_keys, &cache.growing_values}) tensors->assign(layers, RuntimeTensor(empty));
  return cache;
}

HostTensor Decoder::decode(const HostTensor& tokens, const HostTensor& attention_mask, const HostTensor& position_ids,
                           KvCache& cache) const {
  const std::int64_t length = cache.length + tokens.shape.at(1);
  if (cache.mode == CacheMode::shared && length > cache.shared_keys.at(0).shape.at(2))
    throw Error(ErrorKind::usage, fmt::format("{} tokens do not fit a cache of {} (search.max_length)", length,
                                              cache.shared_keys.at(0).shape.at(2)));
  const DecoderConfig& names = config_;
  std::vector<SharedTensor> shared;
  std::vector<RenewedTensor> renewed;
  for (std::size_t layer = 0; layer < static_cast<std::size_t>(names.num_hidden_layers); ++layer) {
    const auto bind = [&](const std::string& past, const std::string& present, auto& tensors, auto& bound) {
      bound.push_back({contract::layer_name(past, layer), contract::layer_name(present, layer), &tensors[layer]});
    };
    if (cache.mode == CacheMode::shared) {
      bind(names.past_key, names.present_key, cache.shared_keys, shared);
      bind(names.past_value, names.present_value, cache.shared_values, shared);
    } else {
      bind(names.past_key, names.present_key, cache.growing_keys, renewed);
      bind(names.past_value, names.present_value, cache.growing_values, renewed);
    }
  }
  NamedTensors outputs =
      session_.run({{names.tokens, tokens}, {names.attention_mask, attention_mask}, {names.position_ids, position_ids}},
                   shared, renewed);
  cache.length = length;
  return take(outputs, names.logits);
}

}  // namespace q3vl
