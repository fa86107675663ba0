// Merges of a vocabulary that lists none: any two pieces whose concatenation is a piece may merge,
// the best piece first. That is how sentencepiece (by score) and tiktoken (by rank) do BPE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/bpe.h"
#include "text/piece_table.h"

namespace lmdeploy {

struct PieceMerges {
  const std::vector<std::string>& pieces;  // by id
  const PieceTable& ids;                   // of the pieces
  const std::vector<uint32_t>& ranks;      // by id, lower merges first
  const std::vector<bool>& mergeable;      // by id; others neither merge nor come from a merge
  bool inside_characters = false;          // pieces are bytes, and may be cut within a character
};

// kDataLoss when the pieces are so long that looking for their cuts would take minutes.
Result<std::vector<Bpe::Rule>> find_merges(const PieceMerges& vocabulary);

// Ranks of scores, the highest first; equal scores share one.
std::vector<uint32_t> ranks_of_scores(const std::vector<float>& scores);

}  // namespace lmdeploy
