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

// A name whose splits have not been compared with its tokenizer.json is kUnsupported, with the names
// that have. The result lives as long as the program.
Result<const GgufPreTokenizer*> find_gguf_pre_tokenizer(const std::string& name);

}  // namespace lmdeploy
