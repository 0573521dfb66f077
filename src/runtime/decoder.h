// The text decoder and its cache, one call at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "base/host_tensor.h"
#include "runtime/package_config.h"
#include "runtime/session.h"

namespace q3vl {

/// How keys and values of past tokens are kept.
enum class CacheMode {
  growing,  ///< what a call returns as present is handed to the next as past
  shared,   ///< one buffer of full length is past and present at once
};

/// The mode that a user calls "shared" or "growing"; `otherwise` for an empty name. Throws Error(usage).
CacheMode cache_mode(const std::string& name, CacheMode otherwise);

/// The decoder's memory of one batch.
struct KvCache {
  CacheMode mode;
  std::int64_t length = 0;  ///< tokens held
  // A layer each. Shared: [batch, kv_heads, capacity, head_size]. Growing: [batch, kv_heads, length, head_size], kept
  // by ONNX Runtime from one call to the next. Those of the other mode are empty.
  std::vector<HostTensor> shared_keys, shared_values;
  std::vector<RuntimeTensor> growing_keys, growing_values;
};

class Decoder {
 public:
  Decoder(Session session, DecoderConfig config) : session_(std::move(session)), config_(std::move(config)) {}

  const DecoderConfig& config() const { return config_; }

  /// Bytes of keys and values, of all layers, that a token of a sequence takes in the cache. Throws Error(bad_input)
  /// when the graph has no cache.
  std::int64_t cache_bytes_per_token() const;

  /// A cache without tokens; `capacity` (in tokens) counts in shared mode only.
  KvCache make_cache(CacheMode mode, std::int64_t batch, std::int64_t capacity) const;

  /// One call: `tokens` is inputs_embeds [B, S, (1+D)·H] (text-only: input_ids [B, S]), `attention_mask` [B, past + S],
  /// `position_ids` [3, B, S] (text-only: [B, S]). Returns the logits, [B, 1 or S, vocab]; the cache then holds S
  /// tokens more. Throws Error(usage) when a shared cache has no room. After any other error the cache is of no use.
  HostTensor decode(const HostTensor& tokens, const HostTensor& attention_mask, const HostTensor& position_ids,
                    KvCache& cache) const;

 private:
  Session session_;
  DecoderConfig config_;
};

/// The output called `name`, moved out of `outputs`. Throws Error(bad_input) when the graph did not give it.
HostTensor take(NamedTensors& outputs, const std::string& name);

}  // namespace q3vl
