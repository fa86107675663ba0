// Checkpoint: a model on disk, read-only: named tensors, its configuration and its vocabulary.
// A Hugging Face directory (safetensors, torch .bin) and a GGUF file look the same from here: GGUF
// tensors get their Hugging Face names and GGUF metadata becomes the config.json such a model would
// have. Files are mapped, not read. Immutable after open(); thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tensor/block_scales.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

// What a converter already did to a tensor, relative to the Hugging Face layout. Bit set.
enum Baked : uint32_t {
  kBakedNothing = 0,
  kBakedInterleavedRope =
      1,  // rows of each head in (i, half) order instead of (half, i): GGUF llama q/k
  kBakedNormPlusOne = 2,  // norm weights hold 1 + w: GGUF gemma
};

struct TensorRecord {
  std::string name;    // Hugging Face name, e.g. "model.layers.0.self_attn.q_proj.weight"
  std::string source;  // name in the file, where it differs; for error messages
  DType dtype;
  Shape shape;            // as Hugging Face writes it: [out, in] for a Linear
  const std::byte* data;  // in the mapping; may be unaligned
  size_t bytes;
  uint32_t baked = kBakedNothing;
  BlockScales scales = {};  // of a matrix in fp8 (checkpoint/fp8_scales.h)

  // What its readers make of it: bf16 of a matrix with scales.
  DType loaded_dtype() const { return scales.data != nullptr ? DType::kBF16 : dtype; }
};

// Token ids that end generation and sampling defaults, from generation_config.json (GGUF: none).
struct GenerationDefaults {
  std::vector<int32_t> eos_ids;
  std::optional<int32_t> bos_id;
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k, max_new_tokens;
  // Families without a chat template tell their chat models so: Qwen's "chatml" or "raw"; the token that
  // begins a user's turn in Baichuan's.
  std::string chat_format;
  std::optional<int32_t> user_token_id;
};

// What a GGUF file says of its vocabulary, as the file spells it (tokenizer.ggml.*). The text
// library's GgufVocabulary is made from it one field at a time.
struct GgufTokenizerMetadata {
  std::string model, pre;
  std::vector<std::string> tokens, merges;
  std::vector<float> scores;
  std::vector<int32_t> token_types;
  std::optional<int32_t> bos, eos, eot, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

// What open() reads: kConfigOnly leaves the weights alone (they need not be there), for random
// weights of a real model's dimensions. A GGUF file is always read whole.
enum class CheckpointParts { kAll, kConfigOnly };

class Checkpoint {
 public:
  // `path`: a directory or a .gguf file. Everything that is wrong with the files (missing shards,
  // truncated or overlapping data, lying headers) is in one Status that lists each problem by name.
  static Result<std::unique_ptr<Checkpoint>> open(const std::string& path,
                                                  CheckpointParts parts = CheckpointParts::kAll);
  virtual ~Checkpoint() = default;

  // config.json, transformers-5 spellings rewritten to the classic ones (docs/formats/config.md);
  // for a multimodal model the language model's part. Always has "architectures".
  const json::object& config() const { return config_; }
  const std::string& path() const { return path_; }
  // The model's own name: general.name, _name_or_path's or the path's last component.
  const std::string& model_name() const { return model_name_; }
  bool is_gguf() const { return gguf_tokenizer_.has_value(); }
  const std::optional<GgufTokenizerMetadata>& gguf_tokenizer() const { return gguf_tokenizer_; }
  // Jinja source inside the GGUF file; empty otherwise (a directory's is read by text/).
  const std::string& gguf_chat_template() const { return gguf_chat_template_; }
  const GenerationDefaults& generation_defaults() const { return generation_; }

  const TensorRecord* find(std::string_view name) const;
  const std::map<std::string, TensorRecord, std::less<>>& tensors() const { return tensors_; }
  // Sum of the tensors' bytes in the files.
  size_t total_bytes() const;
  // Maps the pages of these bytes at once, which costs less than a fault for each.
  void prefault(const std::byte* data, size_t bytes) const;
  // Tells the kernel that the pages of these bytes are not needed again: called once a tensor has
  // been repacked, so that file pages do not count in the process's memory.
  void release(const std::byte* data, size_t bytes) const;

 protected:
  std::string path_, model_name_, gguf_chat_template_;
  json::object config_;
  std::optional<GgufTokenizerMetadata> gguf_tokenizer_;
  GenerationDefaults generation_;
  std::map<std::string, TensorRecord, std::less<>> tensors_;
};

}  // namespace lmdeploy
