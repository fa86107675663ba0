// Tokenizer: text <-> token ids, equal to Hugging Face `tokenizers`, `sentencepiece` and `tiktoken` on the
// same vocabulary.
// Immutable after construction; every method is thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

// What a GGUF file says of its vocabulary (tokenizer.ggml.*); checkpoint/ fills it.
struct GgufVocabulary {
  std::string model;                 // "llama" (sentencepiece BPE with scores), "gpt2" (byte-level BPE)
  std::string pre;                   // pre-tokenizer name: "smollm", "llama-bpe", "qwen2", "gemma", ...
  std::vector<std::string> tokens;   // piece of each id, in the file's own spelling
  std::vector<float> scores;         // empty for "gpt2"
  std::vector<int32_t> token_types;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::vector<std::string> merges;   // "left right", for "gpt2"
  std::optional<int32_t> bos, eos, eot, unknown, padding;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
};

struct EncodeOptions {
  // BOS/EOS as the model's post-processor (or add_bos_token) says. Special tokens that the text
  // spells are found in either case.
  bool add_special_tokens = true;
};

struct DecodeOptions {
  bool skip_special_tokens = true;
  // The ids continue a text: their first piece keeps the space that a text's first piece loses.
  bool continues = false;
};

class Tokenizer {
 public:
  // `path`: a tokenizer.json, a sentencepiece file or a tiktoken file by itself; or a directory that holds
  // one (the first of tokenizer.json, tokenizer.model, qwen.tiktoken, *.tiktoken), read as transformers
  // does: tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja,
  // where present, give bos, eos, add_bos_token, added tokens and the chat template.
  static Result<std::unique_ptr<Tokenizer>> from_file(const std::string& path);
  // Whether the directory holds such a file.
  static bool has_files(const std::string& directory);
  static Result<std::unique_ptr<Tokenizer>> from_gguf(GgufVocabulary vocabulary);

  ~Tokenizer();

  // Invalid UTF-8 is read as U+FFFD.
  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  // Ids outside the vocabulary contribute nothing. Incomplete UTF-8 becomes U+FFFD.
  std::string decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  // Size of the id space: largest id + 1, added tokens included.
  int32_t vocab_size() const;
  // Raw vocabulary piece ("Ġhello", "▁hello", "<0x0A>"); empty for an unknown id.
  std::string_view piece(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view piece) const;
  // Control tokens that skip_special_tokens drops.
  bool is_special(int32_t id) const;

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  // Ids that end a turn whatever the request says: eos, and the eot / end-of-turn the files name.
  const std::vector<int32_t>& end_ids() const;
  // From tokenizer_config.json / chat_template.jinja; empty for GGUF (checkpoint/ reads that one).
  const std::string& chat_template() const;

 private:
  friend class IncrementalDetokenizer;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lmdeploy
