#include "text/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

// Start of the last character of `text`, which is not empty.
size_t last_char(std::string_view text) { return utf8_prefix(text, text.size() - 1); }

uint8_t class_at(std::string_view text, size_t pos) {
  return CharClasses::get().of(decode_valid_utf8(text.data() + pos).code);
}

bool is_word(std::string_view text, size_t pos) {
  return text[pos] == '_' || (class_at(text, pos) & (kLetter | kMark | kNumber)) != 0;
}

bool touches_word(std::string_view text, size_t begin, size_t end) {
  const bool before = begin > 0 && is_word(text, last_char(text.substr(0, begin)));
  return before || (end < text.size() && is_word(text, end));
}

size_t skip_spaces_back(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t pos = last_char(text.substr(0, end));
    if ((class_at(text, pos) & kSpace) == 0) break;
    end = pos;
  }
  return end;
}

size_t skip_spaces(std::string_view text, size_t pos) {
  while (pos < text.size() && (class_at(text, pos) & kSpace) != 0) {
    pos += decode_valid_utf8(text.data() + pos).length;
  }
  return pos;
}

}  // namespace

void TokenFinder::add(std::string_view spelling, const AddedToken& token) {
  if (spelling.empty()) return;
  uint32_t node = 0;
  for (const char c : spelling) {
    const auto byte = static_cast<unsigned char>(c);
    const auto& next = nodes_[node].next;
    const auto at = std::ranges::find(next, byte, [](const auto& edge) { return edge.first; });
    if (at != next.end()) {
      node = at->second;
      continue;
    }
    const auto added = static_cast<uint32_t>(nodes_.size());
    nodes_[node].next.emplace_back(byte, added);
    nodes_.emplace_back();
    node = added;
  }
  if (nodes_[node].token >= 0) return;
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  begins_[static_cast<unsigned char>(spelling[0])] = true;
}

int32_t TokenFinder::longest_at(std::string_view text, size_t pos, size_t& end) const {
  int32_t best = -1;
  uint32_t node = 0;
  while (pos < text.size()) {
    const auto& next = nodes_[node].next;
    const auto byte = static_cast<unsigned char>(text[pos]);
    const auto at = std::ranges::find(next, byte, [](const auto& edge) { return edge.first; });
    if (at == next.end()) break;
    node = at->second;
    ++pos;
    if (nodes_[node].token >= 0) {
      best = nodes_[node].token;
      end = pos;
    }
  }
  return best;
}

void TokenFinder::split(std::string_view text,
                        FunctionRef<void(std::string_view, int32_t)> sink) const {
  size_t done = 0;  // up to here the text has been given away
  for (size_t pos = 0; pos < text.size();) {
    if (!begins_[static_cast<unsigned char>(text[pos])]) {
      ++pos;
      continue;
    }
    size_t end = pos;
    const int32_t index = longest_at(text, pos, end);
    if (index < 0) {
      ++pos;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = pos;
    pos = end;
    if (token.single_word && touches_word(text, begin, end)) continue;
    if (token.lstrip) begin = skip_spaces_back(text, begin, done);
    if (token.rstrip) end = skip_spaces(text, end);
    if (begin > done) sink(text.substr(done, begin - done), -1);
    sink(text.substr(begin, end - begin), token.id);
    done = end;
    pos = std::max(pos, end);
  }
  if (done < text.size()) sink(text.substr(done), -1);
}

}  // namespace lmdeploy
