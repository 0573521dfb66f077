#include "runtime/decoder.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::string layer_name(std::string pattern, std::size_t layer) {
  return pattern.replace(pattern.find("%d"), 2, std::to_string(layer));
}

HostTensor take(NamedTensors& outputs, const std::string& name) {
  const auto found = outputs.find(name);
  if (found == outputs.end()) throw Error(ErrorKind::bad_input, fmt::format("the graph has no output {}", name));
  return std::move(found->second);
}

KvCache Decoder::make_cache(CacheMode mode, std::int64_t batch, std::int64_t capacity) const {
  const HostTensor empty = HostTensor::zeros(
      session_.input(layer_name(config_.past_key, 0)).type,
      {batch, config_.num_key_value_heads, mode == CacheMode::shared ? capacity : 0, config_.head_size});
  const std::vector<HostTensor> layers(static_cast<std::size_t>(config_.num_hidden_layers), empty);
  return {.mode = mode, .length = 0, .keys = layers, .values = layers};
}

HostTensor Decoder::decode(const HostTensor& tokens, const HostTensor& attention_mask, const HostTensor& position_ids,
                           KvCache& cache) const {
  const DecoderConfig& names = config_;
  const std::int64_t length = cache.length + tokens.shape.at(1);
  NamedTensors inputs = {
      {names.tokens, tokens}, {names.attention_mask, attention_mask}, {names.position_ids, position_ids}};
  NamedTensors outputs;
  if (cache.mode == CacheMode::shared) {
    const std::int64_t capacity = cache.keys.at(0).shape.at(2);
    if (length > capacity)
      throw Error(ErrorKind::usage,
                  fmt::format("{} tokens do not fit a cache of {} (search.max_length)", length, capacity));
    std::vector<SharedTensor> shared;
    for (std::size_t layer = 0; layer < cache.keys.size(); ++layer) {
      shared.push_back({layer_name(names.past_key, layer), layer_name(names.present_key, layer), &cache.keys[layer]});
      shared.push_back(
          {layer_name(names.past_value, layer), layer_name(names.present_value, layer), &cache.values[layer]});
    }
    outputs = session_.run(inputs, shared);
  } else {
    for (std::size_t layer = 0; layer < cache.keys.size(); ++layer) {
      inputs[layer_name(names.past_key, layer)] = std::move(cache.keys[layer]);
      inputs[layer_name(names.past_value, layer)] = std::move(cache.values[layer]);
    }
    outputs = session_.run(inputs);
    for (std::size_t layer = 0; layer < cache.keys.size(); ++layer) {
      cache.keys[layer] = take(outputs, layer_name(names.present_key, layer));
      cache.values[layer] = take(outputs, layer_name(names.present_value, layer));
    }
  }
  cache.length = length;
  return take(outputs, names.logits);
}

}  // namespace q3vl
