// What the names in tokenizer.ggml.pre stand for: the normalizer and pre-tokenizer that the model's own
// tokenizer.json has, which a GGUF file does not carry.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

struct GgufPreTokenizer {
  enum class Digits { kNone, kFirst, kLast };  // when each digit becomes a word

  std::vector<const char*> names;
  std::vector<const char*> patterns;  // splits, in order
  Digits digits = Digits::kNone;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

// An unknown name is kUnsupported, with the known ones; an empty one is "default". The result lives as
// long as the program.
Result<const GgufPreTokenizer*> find_gguf_pre_tokenizer(const std::string& name);

// For the log: what is wrong with a vocabulary of this tokenizer.ggml.model that names no pre-tokenizer;
// empty where nothing is.
std::string gguf_vocabulary_warning(const std::string& model, const std::string& pre);

}  // namespace lmdeploy
