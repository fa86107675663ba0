// KV groups: what a model's layers keep per token, as the scheduler sees it. Layers that keep the
// same thing for the same span of tokens form a group; a sequence has one block table per group.
// Every group's block covers the same number of tokens and has the same byte size, so that one
// pool of ids serves all groups.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

enum class KvGroupKind : uint8_t {
  kFull,       // every earlier token is read
  kWindow,     // a query at position p reads keys p - window + 1 .. p
  kLatent,     // as kFull; the block holds MLA latents
  kRecurrent,  // one block per sequence holds a running state; nothing per token
};

struct KvGroupSpec {
  KvGroupKind kind = KvGroupKind::kFull;
  int window = 0;  // tokens, the query itself included; kWindow only
};

// The groups of one model and the tokens per block (`cache_block_seq_len`).
struct KvLayout {
  std::vector<KvGroupSpec> groups;
  int block_tokens = 64;

  int num_groups() const { return static_cast<int>(groups.size()); }
  bool has(KvGroupKind kind) const {
    for (const KvGroupSpec& group : groups) {
      if (group.kind == kind) return true;
    }
    return false;
  }
};

// Refuses block sizes other than 32, 64 and 128, a layout without groups, and a window below 1.
Status validate(const KvLayout& layout);

// Blocks that hold `tokens` tokens from position 0 on.
inline int blocks_for(int tokens, int block_tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

// Index of the first block that a query at `position` reads in `group` (0 but for windows).
inline int first_block_read(const KvGroupSpec& group, int position, int block_tokens) {
  if (group.kind != KvGroupKind::kWindow) return 0;
  const int first_key = position - group.window + 1;
  return first_key <= 0 ? 0 : first_key / block_tokens;
}

}  // namespace lmdeploy
