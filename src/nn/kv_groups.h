// How a model's layers are put into KV groups.
#pragma once

#include <vector>

#include "nn/kv_cache.h"

namespace lmdeploy {

// Groups for layers that all have `kv_heads` heads of `head_dim`: windows[l] is layer l's window, 0
// where it attends to everything. All groups' pages have one size (DESIGN 3), so layers of one
// window are cut into groups of equal length: the length that pads the fewest layers, in at most
// kMaxKvGroups groups, since every group costs a block table per sequence.
constexpr int kMaxKvGroups = 8;
std::vector<KvGroup> make_kv_groups(const std::vector<int>& windows, int kv_heads, int head_dim);

}  // namespace lmdeploy
