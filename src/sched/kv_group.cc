#include "sched/kv_group.h"

namespace lmdeploy {

Status validate(const KvLayout& layout) {
  const int tokens = layout.block_tokens;
  if (tokens != 32 && tokens != 64 && tokens != 128) {
    return invalid_argument(
        "cache_block_seq_len is {}: a KV block holds 32, 64 or 128 tokens; choose one of them",
        tokens);
  }
  if (layout.groups.empty()) return invalid_argument("the model declares no KV group");
  for (int g = 0; g < layout.num_groups(); ++g) {
    const KvGroupSpec& group = layout.groups[g];
    if (group.kind == KvGroupKind::kWindow && group.window < 1) {
      return invalid_argument("KV group {} has a sliding window of {} tokens; it must be at least 1",
                              g, group.window);
    }
  }
  return {};
}

}  // namespace lmdeploy
