// Small parts of base/: random numbers, queue, nearest names, log levels, Result.

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "base/edit_distance.h"
#include "base/function_ref.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/random.h"
#include "base/status.h"

namespace lmdeploy {
namespace {

TEST(Random, UniformsAndNormalsHaveTheirMoments) {
  constexpr int kDraws = 200000;
  double sum = 0, sum_squares = 0, normal_sum = 0, normal_squares = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = uniform_from_bits(hash_random(7, i));
    ASSERT_GT(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    sum_squares += u * u;
    const double n = hash_normal(hash_name("model.norm.weight"), i);
    normal_sum += n;
    normal_squares += n * n;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.003);
  EXPECT_NEAR(sum_squares / kDraws, 1.0 / 3, 0.003);
  EXPECT_NEAR(normal_sum / kDraws, 0, 0.01);
  EXPECT_NEAR(normal_squares / kDraws, 1, 0.02);
}

TEST(Random, KeysAndCountersAreIndependent) {
  double correlation = 0;
  constexpr int kDraws = 100000;
  for (uint64_t i = 0; i < kDraws; ++i) {
    correlation += (uniform_from_bits(hash_random(5, i)) - 0.5) * (uniform_from_bits(hash_random(6, i)) - 0.5);
    correlation += (uniform_from_bits(hash_random(5, i)) - 0.5) * (uniform_from_bits(hash_random(5, i + 1)) - 0.5);
  }
  EXPECT_NEAR(correlation / kDraws * 12, 0, 0.02);
}

TEST(BoundedQueue, RefusesWhenFullOrClosedAndWakesTheWaiter) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_FALSE(queue.pop_for(std::chrono::milliseconds(1)).has_value());
  std::thread closer([&] { queue.close(); });
  EXPECT_FALSE(queue.pop().has_value());
  closer.join();
  EXPECT_FALSE(queue.try_push(4));
}

TEST(NearestName, FindsTyposAndRefusesStrangers) {
  const std::string names[] = {"--max-batch-size", "--session-len", "--tp"};
  EXPECT_EQ(nearest_name("--max-batchsize", names), "--max-batch-size");
  EXPECT_EQ(nearest_name("--sesion-len", names), "--session-len");
  EXPECT_EQ(nearest_name("--temperature", names), "");
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(LogLevel, TakesTheOriginalsNamesInAnyCase) {
  EXPECT_EQ(*parse_log_level("ERROR"), LogLevel::kError);
  EXPECT_EQ(*parse_log_level("warn"), LogLevel::kWarning);
  EXPECT_EQ(*parse_log_level("NOTSET"), LogLevel::kDebug);
  EXPECT_FALSE(parse_log_level("LOUD").ok());
}

Result<int> half(int n) {
  if (n % 2 != 0) return invalid_argument("{} is odd", n);
  return n / 2;
}
Result<int> quarter(int n) {
  ASSIGN_OR_RETURN(const int h, half(n));
  return half(h);
}

TEST(Result, CarriesTheFirstFailure) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).status().message(), "3 is odd");
  EXPECT_EQ(quarter(5).status().message(), "5 is odd");
}

}  // namespace
}  // namespace lmdeploy
