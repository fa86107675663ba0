// IncrementalDetokenizer: the text of a growing list of token ids, as it becomes certain.
#pragma once

#include <cstdint>
#include <string>

#include "text/token_decoder.h"
#include "text/tokenizer.h"

namespace lmdeploy {

// The concatenation of every push() and the final flush() equals Tokenizer::decode of all ids, and
// each piece is valid UTF-8: a sequence cut by a token border is held back until it is whole, and
// so is a run of byte-fallback pieces, whose text is known only once the run has ended.
// Borrows the tokenizer. Not thread-safe; one per choice.
class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(const Tokenizer& tokenizer, DecodeOptions options = {});
  // New certain text; may be empty.
  std::string push(int32_t id);
  // What was held back, incomplete sequences replaced by U+FFFD. The detokenizer is spent.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  DecodeState state_;
};

}  // namespace lmdeploy
