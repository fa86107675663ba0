// A complete tiny model on disk, for tests of the engine: config.json, fp32 safetensors from the hash
// RNG, and a byte-level tokenizer of 256 bytes and three special tokens. Its attention is peaked and
// its logits spread, so that a wrong KV entry changes tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace lmdeploy::testing {

struct TinyModelOptions {
  int layers = 2;
  int sliding_window = 0;       // > 0: a Mistral model with this window, else Llama
  int max_position = 640;
  int32_t nan_token = -1;       // >= 0: its embedding is NaN
  double dynamic_ntk = 0;       // > 0: rope by length, stretching max_position by this factor
};

// Token ids: 0..255 the bytes, then these.
inline constexpr int32_t kTinyBos = 256, kTinyEos = 257, kTinyEot = 258, kTinyVocab = 259;

// Removes its folder when it goes.
class TinyModel {
 public:
  explicit TinyModel(const TinyModelOptions& options = {});
  ~TinyModel();
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace lmdeploy::testing
