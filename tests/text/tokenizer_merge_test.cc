#include <gtest/gtest.h>

#include "base/random.h"
#include "text/bpe_merge.h"

namespace lmdeploy {
namespace {

// Symbols 0..7 and random merges of symbol pairs, some into symbols that merge further.
MergeTable random_merges(uint64_t seed) {
  MergeTable merges;
  for (int32_t id = 8; id < 120; ++id) {
    const auto left = static_cast<int32_t>(hash_random(seed, 3 * id) % static_cast<uint64_t>(id));
    const auto right = static_cast<int32_t>(hash_random(seed, 3 * id + 1) % static_cast<uint64_t>(id));
    // Ranks in no order of creation: a merge may make a pair that goes before it.
    const auto rank = static_cast<uint32_t>(hash_random(seed, 3 * id + 2) % 1000);
    merges.insert(left, right, {rank, id});
  }
  return merges;
}

std::vector<int32_t> random_word(uint64_t seed, size_t count) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>(hash_random(seed, i) % 8);
  return ids;
}

// The definition, to the letter.
std::vector<int32_t> merge_plainly(const MergeTable& merges, std::vector<int32_t> ids) {
  while (true) {
    Merge best;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge merge = merges.find(ids[i], ids[i + 1]);
      if (merge.rank < best.rank) {
        best = merge;
        at = i;
      }
    }
    if (best.rank == kNoMerge) return ids;
    ids[at] = best.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(MergeSymbols, EqualsTheDefinitionOnShortAndMediumWords) {
  MergeScratch scratch;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const MergeTable merges = random_merges(seed);
    for (const size_t count : {0, 1, 2, 3, 31, 32, 33, 34, 200, 700}) {
      std::vector<int32_t> ids = random_word(seed + 1000, count);
      const std::vector<int32_t> expected = merge_plainly(merges, ids);
      merge_symbols(merges, ids, scratch);
      ASSERT_EQ(ids, expected) << "seed " << seed << ", " << count << " symbols";
    }
  }
}

// Symbol 100 merges with nothing, so a huge word of blocks between such symbols must equal the
// blocks one by one.
TEST(MergeSymbols, HugeWordsEqualTheirPartsMergedAlone) {
  MergeScratch scratch;
  constexpr int32_t kWall = 1000;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    const MergeTable merges = random_merges(seed);
    std::vector<int32_t> huge, expected;
    for (uint64_t block = 0; huge.size() < kBucketSymbols + 1000; ++block) {
      std::vector<int32_t> part = random_word(seed * 7919 + block, 900);
      huge.insert(huge.end(), part.begin(), part.end());
      merge_symbols(merges, part, scratch);
      expected.insert(expected.end(), part.begin(), part.end());
      huge.push_back(kWall);
      expected.push_back(kWall);
    }
    merge_symbols(merges, huge, scratch);
    ASSERT_EQ(huge, expected) << "seed " << seed;
  }
}

TEST(MergeTable, TheLaterMergeOfAPairCounts) {
  MergeTable merges;
  merges.insert(1, 2, {5, 10});
  merges.insert(1, 2, {3, 11});
  EXPECT_EQ(merges.find(1, 2).rank, 3u);
  EXPECT_EQ(merges.find(1, 2).id, 11);
  EXPECT_EQ(merges.find(2, 1).rank, kNoMerge);
  EXPECT_EQ(merges.rank_limit(), 6u);
}

}  // namespace
}  // namespace lmdeploy
