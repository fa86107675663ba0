#include "text/jinja/text_search.h"

#include <cstring>

namespace lmdeploy::jinja {

TextSearch::TextSearch(std::string_view text, std::string_view wanted, Direction direction)
    : text_(text), wanted_(wanted), forward_(direction == Direction::kForward) {
  if (wanted_.size() > text_.size()) {
    pos_ = text_.size();
    return;
  }
  border_.resize(wanted_.size());
  uint32_t length = 0;
  for (size_t i = 1; i < wanted_.size(); ++i) {
    while (length > 0 && wanted_at(i) != wanted_at(length)) length = border_[length - 1];
    if (wanted_at(i) == wanted_at(length)) ++length;
    border_[i] = length;
  }
}

void TextSearch::skip_to_candidate() {
  if (!forward_) return;
  const void* found = std::memchr(text_.data() + pos_, wanted_[0], text_.size() - pos_);
  pos_ = found == nullptr ? text_.size()
                          : static_cast<size_t>(static_cast<const char*>(found) - text_.data());
}

size_t TextSearch::next() {
  size_t matched = 0;
  while (pos_ < text_.size()) {
    if (matched == 0) {
      skip_to_candidate();
      if (pos_ == text_.size()) break;
    }
    const char c = text_[forward_ ? pos_ : text_.size() - 1 - pos_];
    ++pos_;
    while (matched > 0 && wanted_at(matched) != c) matched = border_[matched - 1];
    if (wanted_at(matched) == c) ++matched;
    if (matched == wanted_.size()) return forward_ ? pos_ - matched : text_.size() - pos_;
  }
  return kNone;
}

bool contains_text(std::string_view text, std::string_view wanted) {
  return wanted.empty() || TextSearch(text, wanted).next() != TextSearch::kNone;
}

}  // namespace lmdeploy::jinja
