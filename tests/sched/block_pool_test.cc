#include "sched/block_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace lmdeploy {
namespace {

TEST(BlockPool, HandsOutEveryBlockOnce) {
  BlockPool pool(5);
  std::vector<BlockRef> refs;
  std::set<BlockId> ids;
  for (int i = 0; i < 5; ++i) {
    refs.push_back(pool.allocate());
    ids.insert(refs.back().id());
  }
  EXPECT_EQ(ids, (std::set<BlockId>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.available(), 0);
  EXPECT_EQ(pool.num_in_use(), 5);
  refs.clear();
  EXPECT_EQ(pool.num_free(), 5);
}

TEST(BlockPool, ABlockIsHeldUntilTheLastReferenceGoes) {
  BlockPool pool(1);
  BlockRef first = pool.allocate();
  BlockRef copy = first;
  EXPECT_EQ(pool.ref_count(first.id()), 2);
  BlockRef moved = std::move(copy);
  EXPECT_FALSE(copy);
  EXPECT_EQ(pool.ref_count(first.id()), 2);
  moved = first;
  EXPECT_EQ(pool.ref_count(first.id()), 2);
  first.reset();
  EXPECT_EQ(pool.available(), 0);
  moved.reset();
  EXPECT_EQ(pool.available(), 1);
}

TEST(BlockPool, AReleasedBlockComesBackWhenTheNewestLaunchedStepHasRetired) {
  BlockPool pool(2);
  BlockRef ref = pool.allocate();
  pool.launched(1);
  pool.launched(2);
  ref.reset();
  EXPECT_EQ(pool.num_retiring(), 1);
  EXPECT_EQ(pool.available(), 1);
  pool.retire(1);
  EXPECT_EQ(pool.num_retiring(), 1);
  pool.retire(2);
  EXPECT_EQ(pool.num_retiring(), 0);
  EXPECT_EQ(pool.num_free(), 2);
  // Nothing is in flight now: at once.
  pool.allocate().reset();
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(BlockPool, ARetiringBlockThatIsHitAndReleasedAgainWaitsForTheLaterStep) {
  BlockPool pool(1);
  BlockRef ref = pool.allocate();
  const BlockId id = ref.id();
  pool.set_cached(id, true);
  pool.launched(1);
  ref.reset();
  ref = pool.share(id);
  EXPECT_EQ(pool.num_retiring(), 0);
  pool.launched(2);
  ref.reset();
  pool.retire(1);
  EXPECT_EQ(pool.num_retiring(), 1);
  pool.retire(2);
  EXPECT_EQ(pool.num_cached(), 1);
}

TEST(BlockPool, FreeBlocksGoFirstThenTheCachedOneUnusedForLongest) {
  BlockPool pool(4);
  std::vector<BlockId> evicted;
  pool.on_evict([&](BlockId id) { evicted.push_back(id); });
  std::vector<BlockRef> refs;
  for (int i = 0; i < 3; ++i) {
    refs.push_back(pool.allocate());
    pool.set_cached(refs.back().id(), true);
  }
  const BlockId a = refs[0].id(), b = refs[1].id(), c = refs[2].id();
  for (int i : {1, 0, 2}) refs[i].reset();  // LRU order: b a c
  EXPECT_EQ(pool.num_cached(), 3);
  BlockRef hit = pool.share(b);  // used again
  hit.reset();                   // a c b
  BlockRef fresh = pool.allocate();
  EXPECT_TRUE(evicted.empty());
  BlockRef first = pool.allocate(), second = pool.allocate();
  EXPECT_EQ(evicted, (std::vector<BlockId>{a, c}));
  EXPECT_EQ(pool.num_cached(), 1);
}

TEST(BlockPool, ABlockThatIsForgottenBecomesFree) {
  BlockPool pool(1);
  BlockRef ref = pool.allocate();
  const BlockId id = ref.id();
  pool.set_cached(id, true);
  ref.reset();
  EXPECT_TRUE(pool.is_cached_idle(id));
  pool.set_cached(id, false);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.num_cached(), 0);
}

TEST(BlockPoolDeathTest, MisuseIsFatal) {
  BlockPool pool(1);
  BlockRef ref = pool.allocate();
  EXPECT_DEATH(pool.allocate(), "no block to allocate");
  EXPECT_DEATH(BlockRef().id(), "empty BlockRef");
  EXPECT_DEATH(pool.retire(1), "step 1 retired");
  pool.launched(1);
  EXPECT_DEATH(pool.launched(1), "step 1 launched");
  const BlockId id = ref.id();
  ref.reset();
  pool.retire(1);
  EXPECT_DEATH(pool.share(id), "is free");
}

}  // namespace
}  // namespace lmdeploy
