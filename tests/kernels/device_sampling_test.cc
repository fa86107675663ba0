// The upload of a sampling step, which the host builds.
#include "kernels/device_sampling.h"

#include <gtest/gtest.h>

#include <bit>

namespace lmdeploy {
namespace {

using Row = DeviceSamplingRow;

std::vector<uint32_t> words_of(const SamplingBatch& batch, const SamplingList& list) {
  const auto words = batch.words().subspan(list.first, 2 * list.count);
  return {words.begin(), words.end()};
}

TEST(SamplingBatch, RowsCarryTheRequest) {
  SamplingBatch batch(100);
  batch.add({.temperature = 0.7f,
             .top_k = 40,
             .top_p = 0.8f,
             .min_p = 0.1f,
             .seed = 9,
             .position = 17,
             .logprobs = 3},
            5, true);
  batch.add({.greedy = true, .logprobs = -1}, 6, true);
  batch.add({.temperature = 0, .logprobs = -1}, 7, true);
  ASSERT_EQ(batch.rows().size(), 3u);
  const Row& row = batch.rows()[0];
  EXPECT_EQ(row.flags, Row::kActive);
  EXPECT_EQ(row.slot, 5);
  EXPECT_EQ(row.temperature, 0.7f);
  EXPECT_EQ(row.top_k, 40);
  EXPECT_EQ(row.top_p, 0.8f);
  EXPECT_EQ(row.min_p, 0.1f);
  EXPECT_EQ(row.seed, 9u);
  EXPECT_EQ(row.position, 17);
  EXPECT_EQ(row.logprobs, 3);
  EXPECT_EQ(batch.rows()[1].flags, Row::kActive | Row::kGreedy);
  EXPECT_EQ(batch.rows()[2].flags, Row::kActive | Row::kGreedy);
  EXPECT_TRUE(batch.words().empty());
}

TEST(SamplingBatch, ListsLieInTheWords) {
  const TokenCount seen[] = {{3, 2, 0}, {4, 0, 7}, {5, 1, 40000}};
  const TokenBias bias[] = {{8, -1.5f}};
  const int32_t banned[] = {11, 12};
  const ConditionalBan conditional[] = {{13, 4}};
  const uint32_t mask[] = {0xF0u, 0x1u, 0, 0};
  SamplingBatch batch(100);
  const SamplingRow request{.repetition_penalty = 1.2f,
                            .seen = seen,
                            .bias = bias,
                            .banned = banned,
                            .allowed_mask = mask};
  batch.add(request, 0, true, conditional);
  batch.add(request, 1, false);
  const Row& first = batch.rows()[0];
  EXPECT_EQ(first.flags, Row::kActive | Row::kPenalties | Row::kFirstToken | Row::kMasked);
  EXPECT_EQ(words_of(batch, first.seen),
            (std::vector<uint32_t>{3, 0x8000, 4, 7, 5, 0x8000 | 0x7FFF}));
  EXPECT_EQ(words_of(batch, first.bias),
            (std::vector<uint32_t>{8, std::bit_cast<uint32_t>(-1.5f)}));
  const auto any = static_cast<uint32_t>(-1);
  EXPECT_EQ(words_of(batch, first.banned), (std::vector<uint32_t>{11, any, 12, any, 13, 4}));
  EXPECT_EQ(batch.words()[first.mask], 0xF0u);
  EXPECT_EQ(batch.words()[first.mask + 1], 1u);
  const Row& later = batch.rows()[1];
  EXPECT_EQ(later.flags, Row::kActive | Row::kPenalties | Row::kMasked);
  EXPECT_EQ(later.seen.count, 0u);
  EXPECT_EQ(later.banned.count, 2u);
}

TEST(SamplingBatch, FeaturesAreThoseOfItsRows) {
  SamplingBatch batch(100);
  batch.add({.greedy = true, .logprobs = -1}, 0, true);
  batch.add({.top_k = 5, .top_p = 0.5f, .logprobs = -1}, 1, true);
  EXPECT_EQ(batch.features().bits(), 0);
  batch.add({.top_k = 100, .top_p = 0.5f, .logprobs = -1}, 2, true);
  EXPECT_TRUE(batch.features().nucleus);
  batch.add({.logprobs = 0}, 3, true);
  EXPECT_TRUE(batch.features().logprobs);
  EXPECT_FALSE(batch.features().edits);
  batch.add({.presence_penalty = 0.5f, .logprobs = -1}, 4, true);
  EXPECT_TRUE(batch.features().edits);
  batch.clear();
  EXPECT_EQ(batch.features().bits(), 0);
  EXPECT_TRUE(batch.rows().empty());
}

TEST(SamplingBatch, PaddingIsInactive) {
  SamplingBatch batch(100);
  batch.add({.greedy = true}, 0, true);
  batch.pad(4);
  ASSERT_EQ(batch.rows().size(), 4u);
  EXPECT_EQ(batch.rows()[3].flags, 0u);
  EXPECT_EQ(batch.rows()[3].slot, -1);
  batch.pad(2);
  EXPECT_EQ(batch.rows().size(), 4u);
}

TEST(SamplingTable, BytesAreThoseOfTheTensors) {
  const SamplingTable table(Device{}, 3, 101);
  EXPECT_EQ(table.slots(), 3);
  EXPECT_EQ(table.counts().dim(1), 104);
  EXPECT_EQ(SamplingTable::bytes(3, 101), 3 * (4 + 104 * 2));
}

}  // namespace
}  // namespace lmdeploy
