// AddedTokens: finds the tokens that a text spells as a whole ("<|im_start|>") before anything else
// reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"

namespace lmdeploy {

// As tokenizer.json describes it.
struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;   // looked for after normalization
  bool special = false;      // skip_special_tokens drops it
};

// Leftmost, then longest. Immutable once built, thread-safe.
class TokenFinder {
 public:
  // `spelling`: the content, normalized where the token asks for it. The first of equals wins.
  void add(std::string_view spelling, const AddedToken& token);

  bool empty() const { return tokens_.empty(); }

  // Walks over `text` in order: sink(piece, -1) for text between tokens (never empty) and
  // sink(matched, id) for a token.
  void split(std::string_view text, FunctionRef<void(std::string_view, int32_t)> sink) const;

 private:
  struct Node {
    int32_t token = -1;  // index of the token that ends here
    std::vector<std::pair<unsigned char, uint32_t>> next;
  };

  // Index of the longest token that begins at `pos` (and its end), or -1.
  int32_t longest_at(std::string_view text, size_t pos, size_t& end) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);  // a trie, the root first
  std::vector<AddedToken> tokens_;
  bool begins_[256] = {};
};

}  // namespace lmdeploy
