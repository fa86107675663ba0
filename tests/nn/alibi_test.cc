#include "nn/alibi.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lmdeploy {
namespace {

TEST(Alibi, SlopesOfAPowerOfTwoAreAGeometricSequence) {
  const std::vector<float> slopes = alibi_slopes(8);
  ASSERT_EQ(slopes.size(), 8u);
  for (size_t k = 0; k < 8; ++k) EXPECT_FLOAT_EQ(slopes[k], std::exp2(-static_cast<float>(k + 1)));
}

TEST(Alibi, OtherCountsAreFilledUpWithEveryOtherSlopeOfTwiceThePower) {
  const std::vector<float> slopes = alibi_slopes(5);
  const std::vector<float> want = {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f};
  ASSERT_EQ(slopes, want);
  const std::vector<float> forty = alibi_slopes(40);  // Baichuan 13B
  ASSERT_EQ(forty.size(), 40u);
  EXPECT_FLOAT_EQ(forty[0], std::exp2(-0.25f));
  EXPECT_FLOAT_EQ(forty[31], std::exp2(-8.0f));
  EXPECT_FLOAT_EQ(forty[32], std::exp2(-0.125f));
  EXPECT_FLOAT_EQ(forty[39], std::exp2(-1.875f));
}

TEST(Alibi, OneHead) { EXPECT_EQ(alibi_slopes(1), (std::vector<float>{0.00390625f})); }

}  // namespace
}  // namespace lmdeploy
