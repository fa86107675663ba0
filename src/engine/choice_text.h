// ChoiceText: one choice's tokens as they become text: detokenized, searched for stop strings, and
// counted so that tokens which only spell a stop string are not kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace lmdeploy {

// Used by one text thread at a time.
class ChoiceText {
 public:
  ChoiceText(const Tokenizer& tokenizer, const SamplingParams& sampling);

  // Adds a generated token; its text goes to pending(). True when a stop string is complete: nothing
  // may be pushed after.
  bool push(TokenOutput token);
  // Generation ended: the held-back text goes to pending().
  void finish();

  // Text and tokens since the last take().
  struct Piece {
    std::string text;
    std::vector<TokenOutput> tokens;
  };
  Piece take();
  bool has_pending() const { return !piece_.text.empty() || !piece_.tokens.empty(); }

  // Tokens kept so far: all that were pushed, less those whose text lies wholly behind a stop
  // string's beginning.
  int64_t kept_tokens() const { return kept_; }

 private:
  void keep_until(size_t text_end);

  IncrementalDetokenizer detokenizer_;
  StopMatcher stop_matcher_;
  bool done_ = false;
  Piece piece_;
  size_t text_in_ = 0;    // bytes given to the stop matcher
  size_t text_out_ = 0;   // bytes it has let pass
  struct Waiting {
    TokenOutput token;
    size_t text_begin;    // bytes before this token's text
  };
  std::vector<Waiting> waiting_;  // tokens whose text may yet turn out to be a stop string
  int64_t kept_ = 0;
};

}  // namespace lmdeploy
