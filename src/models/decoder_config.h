// What the configurations of most decoder-only models have in common.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config_reader.h"
#include "nn/attention.h"
#include "nn/gated_mlp.h"
#include "nn/lm_head.h"
#include "nn/rope_config.h"

namespace lmdeploy {

// What differs between model classes: names and values for keys that configurations leave out.
struct DecoderDefaults {
  bool tied = false;
  double rope_theta = 10000.0;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
  const char* eps_key = "rms_norm_eps";
  double eps = 1e-6;
};

// A key and the name that this library reads it by.
struct KeyAlias {
  const char* key;
  const char* classic;
};

// The configuration with keys moved to their classic names, unless those are there already, and with
// `defaults` for keys that are then absent or null.
json::object with_classic_keys(json::object config, std::initializer_list<KeyAlias> aliases,
                               const json::object& defaults = {});

struct DecoderConfig {
  std::string architecture;
  int64_t vocab_size = 1, hidden = 1, intermediate = 1;
  int layers = 1, heads = 1, kv_heads = 1, head_dim = 2;
  float norm_eps = 1e-6f;
  Activation activation = Activation::kSilu;
  bool tied = false;
  int64_t logn_length = 0;  // of the training, where logn attention is on; 0: off
  RopeConfig rope;

  NormConfig norm() const { return {.size = hidden, .eps = norm_eps}; }
  // Scale 1 / sqrt(head_dim), no window, biases where the checkpoint has them.
  AttentionConfig attention() const;
  GatedMlpConfig mlp() const;
  LmHeadConfig head() const { return {.vocab = vocab_size, .hidden = hidden, .tied = tied}; }
};

// Problems go to `reader`; the result is safe to build from only when reader.status() is OK.
DecoderConfig read_decoder_config(ConfigReader& reader, const DecoderDefaults& defaults = {});

// A problem of `reader` where the configuration scales a rotation that the model, which has ALiBi,
// does not do.
void refuse_rope_scaling(ConfigReader& reader, const DecoderConfig& config);

// kUnsupported when the heads or the MLP do not divide over the ranks: which, and what would.
Status check_split(const DecoderConfig& config, const Parallel& parallel);

// Each layer's window, 0 where it sees everything: by the configuration's layer_types, and without
// them by `has_window(layer)`. `window` 0: no layer has one.
template <class HasWindow>
std::vector<int> layer_windows(ConfigReader& reader, int layers, int window, HasWindow has_window);
// layer_types as bools (sliding or not); empty when the key is absent.
std::vector<bool> read_layer_types(ConfigReader& reader, int layers);
// Each layer's window in Qwen 2 and 3: none unless use_sliding_window, else in the layers from
// max_window_layers on or as layer_types says.
std::vector<int> qwen_windows(ConfigReader& reader, int layers);
// The key sliding_window, 0 when it is null; `otherwise` when it is absent.
int read_sliding_window(ConfigReader& reader, int otherwise);

template <class HasWindow>
std::vector<int> layer_windows(ConfigReader& reader, int layers, int window, HasWindow has_window) {
  const std::vector<bool> types = read_layer_types(reader, layers);
  std::vector<int> windows(static_cast<size_t>(layers), 0);
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    const bool sliding = types.empty() ? has_window(static_cast<int>(layer)) : types[layer];
    if (sliding) windows[layer] = window;
  }
  return windows;
}

}  // namespace lmdeploy
