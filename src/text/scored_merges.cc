#include "text/scored_merges.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace lmdeploy {

namespace {

constexpr size_t kMaxCutBytes = size_t{1} << 31;  // looked up while finding the merges

}  // namespace

std::vector<uint32_t> ranks_of_scores(const std::vector<float>& scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, std::greater<>(), [&](uint32_t id) { return scores[id]; });
  std::vector<uint32_t> ranks(scores.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

Result<std::vector<Bpe::Rule>> find_merges(const PieceMerges& vocabulary) {
  const auto& [pieces, ids, ranks, mergeable, inside_characters] = vocabulary;
  const auto find = [&](std::string_view piece) {
    const int32_t id = ids.find(piece);
    return id >= 0 && mergeable[static_cast<size_t>(id)] ? id : -1;
  };
  std::vector<Bpe::Rule> rules;
  size_t looked_up = 0;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!mergeable[id]) continue;
    const std::string_view piece = pieces[id];
    looked_up += piece.size() * piece.size();
    if (looked_up > kMaxCutBytes) {
      return data_loss(
          "the pieces of the vocabulary are too long: at piece {}, of {} bytes, their squared "
          "lengths add up to more than {}",
          id, piece.size(), kMaxCutBytes);
    }
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if (!inside_characters && (static_cast<unsigned char>(piece[cut]) & 0xC0) == 0x80) continue;
      const int32_t left = find(piece.substr(0, cut));
      if (left < 0) continue;
      const int32_t right = find(piece.substr(cut));
      if (right >= 0) rules.push_back({left, right, {ranks[id], static_cast<int32_t>(id)}});
    }
  }
  return rules;
}

}  // namespace lmdeploy
