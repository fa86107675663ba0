#include "sched/prefix_cache.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lmdeploy {
namespace {

constexpr KvGroupSpec kFull{KvGroupKind::kFull, 0};
constexpr KvGroupSpec kWindow6{KvGroupKind::kWindow, 6};  // 5 earlier keys: 2 blocks of 4

class PrefixCacheTest : public testing::Test {
 protected:
  void make(std::vector<KvGroupSpec> groups, int blocks = 32) {
    cache_.reset();
    pool_ = std::make_unique<BlockPool>(blocks);
    cache_ = std::make_unique<PrefixCache>(KvLayout{std::move(groups), 4}, 7, *pool_);
  }
  static std::vector<int32_t> count_up(int n, int first = 0) {
    std::vector<int32_t> tokens(n);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
  }
  PrefixKeys keys_of(const std::vector<int32_t>& tokens, CacheScope scope = {},
                     std::vector<MediaSpan> media = {}) const {
    PrefixKeys keys{.scope = scope};
    cache_->extend_keys(keys, tokens, media);
    return keys;
  }
  int match(const std::vector<int32_t>& tokens, CacheScope scope = {},
            std::vector<MediaSpan> media = {}) const {
    return cache_->match(keys_of(tokens, scope, media), tokens, 100);
  }
  // Computes blocks [first, last) in `group` and lets them go.
  std::vector<BlockId> fill(const std::vector<int32_t>& tokens, int group, int first, int last,
                            CacheScope scope = {}, std::vector<MediaSpan> media = {}) {
    const PrefixKeys keys = keys_of(tokens, scope, media);
    std::vector<BlockRef> refs;
    std::vector<BlockId> ids;
    for (int i = first; i < last; ++i) {
      refs.push_back(pool_->allocate());
      ids.push_back(refs.back().id());
      cache_->insert(keys, tokens, i, group, ids.back());
    }
    while (!refs.empty()) refs.pop_back();
    return ids;
  }

  std::unique_ptr<BlockPool> pool_;
  std::unique_ptr<PrefixCache> cache_;
};

TEST_F(PrefixCacheTest, FindsTheLongestKnownPrefix) {
  make({kFull});
  const auto tokens = count_up(18);
  const auto ids = fill(tokens, 0, 0, 4);
  EXPECT_EQ(match(tokens), 4);
  EXPECT_EQ(match(count_up(11)), 2);
  auto other = tokens;
  other[9] = 99;
  EXPECT_EQ(match(other), 2);
  other[0] = 99;
  EXPECT_EQ(match(other), 0);
  EXPECT_EQ(cache_->match(keys_of(tokens), tokens, 3), 3);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(cache_->block(keys_of(tokens), tokens, i, 0), ids[i]);
}

TEST_F(PrefixCacheTest, EqualBlocksBehindDifferentPrefixesAreDifferent) {
  make({kFull});
  std::vector<int32_t> a = {1, 1, 1, 1, 5, 5, 5, 5};
  std::vector<int32_t> b = {2, 2, 2, 2, 5, 5, 5, 5};
  fill(a, 0, 0, 2);
  fill(b, 0, 0, 1);
  EXPECT_EQ(match(b), 1);
}

TEST_F(PrefixCacheTest, SaltAdapterAndMediaSeparate) {
  make({kFull});
  const auto tokens = count_up(12);
  const std::vector<MediaSpan> cat = {{.first = 5, .count = 3, .hash = 1}};
  const std::vector<MediaSpan> dog = {{.first = 5, .count = 3, .hash = 2}};
  const std::vector<MediaSpan> moved = {{.first = 6, .count = 3, .hash = 1}};
  fill(tokens, 0, 0, 3, {.salt = 1, .adapter = 2}, cat);
  EXPECT_EQ(match(tokens, {.salt = 1, .adapter = 2}, cat), 3);
  EXPECT_EQ(match(tokens, {.salt = 2, .adapter = 2}, cat), 0);
  EXPECT_EQ(match(tokens, {.salt = 1, .adapter = 0}, cat), 0);
  EXPECT_EQ(match(tokens, {.salt = 1, .adapter = 2}, dog), 1);  // the image is in block 1
  EXPECT_EQ(match(tokens, {.salt = 1, .adapter = 2}, moved), 1);
  EXPECT_EQ(match(tokens, {.salt = 1, .adapter = 2}), 1);
}

TEST_F(PrefixCacheTest, AWindowGroupNeedsOnlyItsWindow) {
  make({kFull, kWindow6});
  const auto tokens = count_up(20);
  fill(tokens, 0, 0, 5);
  EXPECT_EQ(match(tokens), 0);
  fill(tokens, 1, 2, 4);  // a query at 16 reads keys 11 .. 16: blocks 2 and 3
  EXPECT_EQ(match(tokens), 4);
  fill(tokens, 1, 0, 1);  // a query at 4 reads block 0
  EXPECT_EQ(cache_->match(keys_of(tokens), tokens, 3), 1);
  EXPECT_EQ(cache_->block(keys_of(tokens), tokens, 1, 1), -1);
}

TEST_F(PrefixCacheTest, EvictionEndsThePrefixThere) {
  make({kFull}, 6);
  const auto tokens = count_up(16);
  fill(tokens, 0, 0, 4);  // released from the last to the first
  std::vector<BlockRef> refs;
  for (int i = 0; i < 2; ++i) refs.push_back(pool_->allocate());
  EXPECT_EQ(match(tokens), 4);
  refs.push_back(pool_->allocate());
  EXPECT_EQ(match(tokens), 3);
  refs.push_back(pool_->allocate());
  EXPECT_EQ(match(tokens), 2);
  EXPECT_EQ(cache_->num_entries(), 2);
}

TEST_F(PrefixCacheTest, WithoutItsFullBlockAnEntrysWindowBlocksAreFree) {
  make({kFull, kWindow6}, 4);
  const auto tokens = count_up(8);
  fill(tokens, 0, 0, 2);
  fill(tokens, 1, 0, 2);
  EXPECT_EQ(match(tokens), 2);
  BlockRef ref = pool_->allocate();  // takes the full group's last block
  EXPECT_EQ(match(tokens), 1);
  EXPECT_EQ(pool_->num_free(), 1);
  EXPECT_EQ(pool_->num_cached(), 2);
}

TEST_F(PrefixCacheTest, ALostWindowBlockCanBeAddedAgain) {
  make({kFull, kWindow6}, 4);
  const auto tokens = count_up(8);
  fill(tokens, 1, 0, 2);
  fill(tokens, 0, 0, 2);
  { BlockRef ref = pool_->allocate(); }  // the window's last block goes
  EXPECT_EQ(match(tokens), 1);
  EXPECT_EQ(cache_->num_entries(), 2);
  fill(tokens, 1, 1, 2);
  EXPECT_EQ(match(tokens), 2);
}

TEST_F(PrefixCacheTest, TheFirstBlockWithAContentIsKept) {
  make({kFull});
  const auto tokens = count_up(4);
  const auto first = fill(tokens, 0, 0, 1);
  const auto second = fill(tokens, 0, 0, 1);
  EXPECT_EQ(cache_->block(keys_of(tokens), tokens, 0, 0), first[0]);
  EXPECT_EQ(pool_->num_cached(), 1);
}

TEST_F(PrefixCacheTest, ForgetCutsAPrefix) {
  make({kFull});
  const auto tokens = count_up(16);
  fill(tokens, 0, 0, 4);
  cache_->forget(keys_of(tokens), tokens, 1);
  EXPECT_EQ(match(tokens), 1);
  EXPECT_EQ(pool_->num_cached(), 1);
  EXPECT_EQ(cache_->num_entries(), 1);
}

TEST_F(PrefixCacheTest, ARecurrentGroupTurnsTheCacheOff) {
  make({kFull, {KvGroupKind::kRecurrent, 0}});
  EXPECT_FALSE(cache_->enabled());
  EXPECT_EQ(match(count_up(16)), 0);
}

TEST_F(PrefixCacheTest, KeysOfTwoCachesDiffer) {
  make({kFull});
  const auto tokens = count_up(4);
  const uint64_t key = keys_of(tokens).keys[0];
  make({kFull});
  EXPECT_NE(keys_of(tokens).keys[0], key);
}

}  // namespace
}  // namespace lmdeploy
