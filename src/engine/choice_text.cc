#include "engine/choice_text.h"

namespace lmdeploy {

ChoiceText::ChoiceText(const Tokenizer& tokenizer, const SamplingParams& sampling)
    : detokenizer_(tokenizer, {.skip_special_tokens = sampling.skip_special_tokens, .continues = true}),
      stop_matcher_(sampling.stop, sampling.include_stop) {}

bool ChoiceText::push(TokenOutput token) {
  const std::string text = detokenizer_.push(token.id);
  waiting_.push_back({std::move(token), text_in_});
  text_in_ += text.size();
  StopMatcher::Output out = stop_matcher_.push(text);
  text_out_ += out.text.size();
  piece_.text += out.text;
  if (out.stop_index.has_value()) {
    done_ = true;
    keep_until(text_out_);
    waiting_.clear();
    return true;
  }
  keep_until(text_out_);
  return false;
}

void ChoiceText::finish() {
  if (done_) return;
  done_ = true;
  const std::string tail = detokenizer_.flush();
  StopMatcher::Output out = stop_matcher_.push(tail);
  piece_.text += out.text;
  text_out_ += out.text.size();
  if (!out.stop_index.has_value()) {
    const std::string held = stop_matcher_.flush();
    piece_.text += held;
    text_out_ = text_in_ + tail.size();
  }
  keep_until(text_out_);
  // Tokens without text at the very end (a lone byte, a skipped special token) are kept as well.
  for (Waiting& waiting : waiting_) {
    if (out.stop_index.has_value() && waiting.text_begin >= text_out_) break;
    piece_.tokens.push_back(std::move(waiting.token));
    ++kept_;
  }
  waiting_.clear();
}

// A token is kept once some text at or after its beginning has been let out: its own first byte, or
// that of a later token.
void ChoiceText::keep_until(size_t text_end) {
  size_t n = 0;
  while (n < waiting_.size() && waiting_[n].text_begin < text_end) ++n;
  for (size_t i = 0; i < n; ++i) piece_.tokens.push_back(std::move(waiting_[i].token));
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(n));
  kept_ += static_cast<int64_t>(n);
}

ChoiceText::Piece ChoiceText::take() {
  Piece taken = std::move(piece_);
  piece_ = {};
  return taken;
}

}  // namespace lmdeploy
