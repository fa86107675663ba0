// TextSearch: the matches of one string in another, in time linear in both whatever they hold (Knuth,
// Morris and Pratt), since templates and requests choose them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lmdeploy::jinja {

class TextSearch {
 public:
  enum class Direction { kForward, kBackward };
  static constexpr size_t kNone = std::string_view::npos;

  // Borrows both; `wanted` is not empty. Takes 4 bytes for each byte of `wanted`.
  TextSearch(std::string_view text, std::string_view wanted,
             Direction direction = Direction::kForward);

  // Where the next match begins; kNone when there is none. Matches do not overlap; kBackward gives the
  // last one first.
  size_t next();

 private:
  char wanted_at(size_t i) const { return wanted_[forward_ ? i : wanted_.size() - 1 - i]; }
  // First place at or after pos_ that could begin a match.
  void skip_to_candidate();

  std::string_view text_, wanted_;
  bool forward_;
  size_t pos_ = 0;  // bytes of the text read, from its start or from its end
  std::vector<uint32_t> border_;  // by i: the longest proper border of the first i + 1 bytes
};

// Whether `wanted` occurs; an empty one does.
bool contains_text(std::string_view text, std::string_view wanted);

}  // namespace lmdeploy::jinja
