#include "nn/kv_groups.h"

#include <algorithm>
#include <map>

namespace lmdeploy {
namespace {

using LayersByWindow = std::map<int, std::vector<int>>;

// Layers per group.
size_t best_group_length(const LayersByWindow& kinds) {
  size_t longest = 0;
  for (const auto& [window, layers] : kinds) longest = std::max(longest, layers.size());
  size_t best = longest, best_padded = SIZE_MAX;
  for (size_t length = longest; length >= 1; --length) {
    size_t groups = 0;
    for (const auto& [window, layers] : kinds) groups += (layers.size() + length - 1) / length;
    if (groups > kMaxKvGroups) break;
    if (groups * length < best_padded) {
      best = length;
      best_padded = groups * length;
    }
  }
  return best;
}

}  // namespace

std::vector<KvGroup> make_kv_groups(const std::vector<int>& windows, int kv_heads, int head_dim) {
  LayersByWindow kinds;
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    kinds[windows[layer]].push_back(static_cast<int>(layer));
  }
  const size_t length = best_group_length(kinds);
  std::vector<KvGroup> groups;
  for (const auto& [window, layers] : kinds) {
    for (size_t begin = 0; begin < layers.size(); begin += length) {
      const size_t end = std::min(layers.size(), begin + length);
      groups.push_back({.kind = window > 0 ? KvGroup::Kind::kWindow : KvGroup::Kind::kFull,
                        .window = window,
                        .layers = {layers.begin() + static_cast<long>(begin),
                                   layers.begin() + static_cast<long>(end)},
                        .kv_heads = kv_heads,
                        .head_dim = head_dim});
    }
  }
  return groups;
}

}  // namespace lmdeploy
