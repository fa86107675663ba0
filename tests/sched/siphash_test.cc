#include "sched/siphash.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

// The reference vectors of the SipHash paper: key 00 01 .. 0f, message 00 01 .. n-1.
constexpr std::array<uint64_t, 2> kKey = {0x0706050403020100ull, 0x0F0E0D0C0B0A0908ull};

TEST(SipHash, GivesTheReferenceVectors) {
  EXPECT_EQ(SipHash(kKey).finish(), 0x726FDB47DD0E0E31ull);
  SipHash eight(kKey);
  eight.add(kKey[0]);
  EXPECT_EQ(eight.finish(), 0x93F5F5799A932462ull);
  SipHash fifteen(kKey);
  fifteen.add(kKey[0]);
  EXPECT_EQ(fifteen.finish(0x0E0D0C0B0A0908ull, 7), 0xA129CA6149BE45E5ull);
}

TEST(SipHash, DependsOnTheKeyAndTheLength) {
  EXPECT_NE(SipHash(kKey).finish(), SipHash({kKey[0], kKey[1] ^ 1}).finish());
  SipHash one(kKey), two(kKey);
  one.add(0);
  two.add(0);
  two.add(0);
  EXPECT_NE(one.finish(), two.finish());
}

}  // namespace
}  // namespace lmdeploy
