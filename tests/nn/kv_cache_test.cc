#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "nn/kv_cache.h"
#include "nn/kv_groups.h"
#include "tests/support/kv_block.h"

namespace lmdeploy {
namespace {

std::vector<KvGroup> two_groups() {
  return {{.kind = KvGroup::Kind::kFull, .layers = {1}, .kv_heads = 2, .head_dim = 64},
          {.kind = KvGroup::Kind::kWindow,
           .window = 16,
           .layers = {0, 2},
           .kv_heads = 2,
           .head_dim = 64}};
}

TEST(KvCache, EveryPageHasTheSizeOfTheLargestGroup) {
  const size_t layer = 2 * 2 * 32 * 64 * 2;  // k and v, heads, tokens, dim, bytes
  EXPECT_EQ(KvCache::page_bytes(two_groups(), 32, DType::kBF16), 2 * layer);
  const KvCache kv(two_groups(), 32, 5, DType::kBF16, {});
  EXPECT_EQ(kv.page_bytes(), 2 * layer);
  EXPECT_EQ(kv.group_of(1), 0);
  EXPECT_EQ(kv.group_of(0), 1);
  EXPECT_EQ(kv.layer(1).layer_offset, 0u);
  EXPECT_EQ(kv.layer(2).layer_offset, layer);
}

TEST(KvCache, BlocksOfLayersHeadsAndPagesDoNotOverlap) {
  const KvCache kv(two_groups(), 64, 3, DType::kF32, {});
  std::set<const std::byte*> starts;
  for (int32_t page = 0; page < 3; ++page) {
    for (int layer : {0, 2}) {
      for (int head = 0; head < 2; ++head) {
        starts.insert(test::kv_block(kv.layer(layer), page, head));
        starts.insert(test::kv_block(kv.layer(layer), page, kv.layer(layer).kv_heads + head));
      }
    }
  }
  ASSERT_EQ(starts.size(), 24u);
  const std::byte* before = nullptr;
  for (const std::byte* start : starts) {
    if (before != nullptr) {
      EXPECT_GE(start - before, 64 * 64 * 4);
    }
    before = start;
  }
  EXPECT_LE(before - *starts.begin() + 64 * 64 * 4, static_cast<ptrdiff_t>(3 * kv.page_bytes()));
}

TEST(KvCache, CopiesAndPoisonsWholePages) {
  KvCache kv(two_groups(), 32, 3, DType::kF32, {});
  std::byte* first = kv.layer(0).pages;
  std::memset(first, 1, kv.page_bytes());
  kv.copy_page(0, 2);
  EXPECT_EQ(std::memcmp(first, first + 2 * kv.page_bytes(), kv.page_bytes()), 0);
  kv.poison_page(0);
  float value = 0;
  std::memcpy(&value, first + kv.page_bytes() - sizeof(value), sizeof(value));
  EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(static_cast<int>(first[kv.page_bytes()]), 0);
  EXPECT_EQ(static_cast<int>(first[2 * kv.page_bytes()]), 1);
}

TEST(KvCacheDeathTest, LayersAndPagesThatItDoesNotHold) {
  KvCache kv({{.layers = {0, 2}, .kv_heads = 1, .head_dim = 8}}, 32, 3, DType::kF32, {});
  for (int layer : {-1, 1, 3, 1 << 30}) {
    EXPECT_DEATH(kv.layer(layer), "no KV group holds layer");
    EXPECT_DEATH(kv.group_of(layer), "no KV group holds layer");
  }
  EXPECT_DEATH(kv.copy_page(0, 3), "page 0 to 3 of 3");
  EXPECT_DEATH(kv.poison_page(-1), "page -1 of 3");
}

std::vector<int> windows(int layers, int pattern, int window) {
  std::vector<int> result(static_cast<size_t>(layers), window);
  for (int layer = pattern - 1; layer < layers; layer += pattern)
    result[static_cast<size_t>(layer)] = 0;
  return result;
}

TEST(KvGroups, OneKindIsOneGroup) {
  const auto groups = make_kv_groups(std::vector<int>(32, 0), 8, 128);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].kind, KvGroup::Kind::kFull);
  EXPECT_EQ(groups[0].layers.size(), 32u);
  EXPECT_EQ(make_kv_groups(std::vector<int>(32, 4096), 8, 128)[0].window, 4096);
}

TEST(KvGroups, MixedLayersPadLittle) {
  // Gemma 3 270M, 1B, 4B, 12B and 27B; Qwen 2 with the last layer in a window.
  for (int layers : {18, 26, 34, 48, 62}) {
    const auto groups = make_kv_groups(windows(layers, 6, 512), 1, 256);
    ASSERT_LE(groups.size(), static_cast<size_t>(kMaxKvGroups));
    size_t longest = 0;
    std::set<int> seen;
    for (const KvGroup& group : groups) {
      longest = std::max(longest, group.layers.size());
      for (int layer : group.layers) {
        EXPECT_TRUE(seen.insert(layer).second);
        EXPECT_EQ(group.kind == KvGroup::Kind::kFull, layer % 6 == 5);
      }
    }
    EXPECT_EQ(seen.size(), static_cast<size_t>(layers));
    EXPECT_LE(longest * groups.size(), static_cast<size_t>(layers) * 5 / 4) << layers;
  }
  std::vector<int> last(28, 0);
  last[27] = 128;
  EXPECT_LE(make_kv_groups(last, 4, 128).size(), static_cast<size_t>(kMaxKvGroups));
}

}  // namespace
}  // namespace lmdeploy
