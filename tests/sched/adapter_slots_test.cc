#include "sched/adapter_slots.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(AdapterSlots, AnAdapterStaysUntilItsSlotIsNeeded) {
  AdapterSlots slots(2);
  std::vector<AdapterLoad> loads;
  EXPECT_EQ(slots.acquire(0, loads), kNoAdapter);
  const int a = slots.acquire(11, loads);
  const int b = slots.acquire(22, loads);
  EXPECT_NE(a, b);
  EXPECT_EQ(slots.acquire(11, loads), a);
  EXPECT_EQ(loads.size(), 2u);
  EXPECT_FALSE(slots.can_acquire(33));
  EXPECT_TRUE(slots.can_acquire(0));
  slots.release(a);
  EXPECT_FALSE(slots.can_acquire(33));  // used twice
  slots.release(a);
  slots.release(b);
  EXPECT_EQ(slots.acquire(22, loads), b);
  EXPECT_EQ(loads.size(), 2u);
  EXPECT_EQ(slots.acquire(33, loads), a);
  ASSERT_EQ(loads.size(), 3u);
  EXPECT_EQ(loads[2].adapter, 33u);
  EXPECT_EQ(loads[2].slot, a);
}

TEST(AdapterSlots, TheIdleSlotUnusedForLongestGoesFirst) {
  AdapterSlots slots(2);
  std::vector<AdapterLoad> loads;
  const int a = slots.acquire(1, loads);
  slots.release(a);
  const int b = slots.acquire(2, loads);
  slots.release(b);
  slots.release(slots.acquire(1, loads));
  EXPECT_EQ(slots.acquire(3, loads), b);
}

}  // namespace
}  // namespace lmdeploy
