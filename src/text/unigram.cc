#include "text/unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

constexpr float kUnknownPenalty = 10.0f;
constexpr float kRebaseScore = 100000.0f;
constexpr size_t kKeptNodes = 1 << 16;

}  // namespace

Unigram::Unigram(const std::vector<UnigramPiece>& pieces, UnigramOptions options)
    : options_(std::move(options)) {
  float worst = std::numeric_limits<float>::max();
  int32_t nodes = 1;
  for (const UnigramPiece& piece : pieces) {
    int32_t node = 0;
    for (size_t i = 0; i < piece.text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(piece.text[i]);
      Merge edge = trie_.find(node, byte);
      if (edge.id < 0) edge = {0, nodes++};
      if (i + 1 == piece.text.size()) edge.rank = static_cast<uint32_t>(ids_.size()) + 1;
      trie_.insert(node, byte, edge);
      node = edge.id;
    }
    ids_.push_back(piece.id);
    longest_ = std::max(longest_, piece.text.size());
    const auto more = static_cast<int>(piece.text.size()) - 1;
    scores_.push_back(piece.user_defined ? static_cast<float>(0.1 * more) : piece.score);
    if (!piece.user_defined) worst = std::min(worst, piece.score);
  }
  unknown_score_ = worst - kUnknownPenalty;
}

// Tries every piece that begins at `start`, and the character there as an unknown one.
void Unigram::find_paths(std::string_view text, size_t start, std::vector<PathNode>& path) const {
  const float before = path[start].score;
  const size_t char_end = start + decode_valid_utf8(text.data() + start).length;
  bool known = false;
  const auto offer = [&](size_t end, float score, int32_t id) {
    PathNode& node = path[end];
    const float sum = score + before;
    if (node.start < 0 || sum > node.score) node = {sum, static_cast<int32_t>(start), id};
  };
  int32_t node = 0;
  for (size_t end = start; end < text.size();) {
    const Merge edge = trie_.find(node, static_cast<unsigned char>(text[end]));
    if (edge.id < 0) break;
    node = edge.id;
    ++end;
    if (edge.rank == 0) continue;
    offer(end, scores_[edge.rank - 1], ids_[edge.rank - 1]);
    known = known || end == char_end;
  }
  if (!known) offer(char_end, unknown_score_, options_.unk);
}

// Subtracts the score at `start` from all that lead on.
void Unigram::rebase(size_t start, std::vector<PathNode>& path) const {
  const float offset = path[start].score;
  const size_t end = std::min(path.size(), start + longest_ + 1);
  for (size_t i = start; i < end; ++i) {
    if (i == start || path[i].start >= 0) path[i].score -= offset;
  }
}

void Unigram::encode(std::string_view word, EncodeScratch& scratch,
                     std::vector<int32_t>& out) const {
  CHECK(word.size() < static_cast<size_t>(std::numeric_limits<int32_t>::max()),
        "a word of {} bytes", word.size());
  std::vector<PathNode>& path = scratch.path;
  path.assign(word.size() + 1, {});
  for (size_t pos = 0; pos < word.size(); pos += decode_valid_utf8(word.data() + pos).length) {
    if (std::abs(path[pos].score) > kRebaseScore) rebase(pos, path);
    find_paths(word, pos, path);
  }
  std::vector<int32_t>& ends = scratch.ids;  // of the pieces, the last first
  ends.clear();
  for (auto end = static_cast<int32_t>(word.size()); end > 0;
       end = path[static_cast<size_t>(end)].start) {
    ends.push_back(end);
  }
  bool after_unknown = false;
  for (size_t i = ends.size(); i-- > 0;) {
    const auto end = static_cast<size_t>(ends[i]);
    const PathNode& node = path[end];
    const bool unknown = node.id == options_.unk;
    if (unknown) {
      const auto start = static_cast<size_t>(node.start);
      append_unknown(word.substr(start, end - start), after_unknown, out);
    } else {
      out.push_back(node.id);
    }
    after_unknown = unknown;
  }
  if (path.capacity() > kKeptNodes) path = {};
  if (ends.capacity() > kKeptNodes) ends = {};
}

// The bytes of an unknown character, or one unknown id for a run of them.
void Unigram::append_unknown(std::string_view text, bool after_unknown,
                             std::vector<int32_t>& out) const {
  if (options_.byte_ids.empty()) {
    if (!after_unknown) out.push_back(options_.unk);
    return;
  }
  for (const char c : text) out.push_back(options_.byte_ids[static_cast<unsigned char>(c)]);
}

}  // namespace lmdeploy
