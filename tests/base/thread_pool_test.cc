#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

namespace lmdeploy {
namespace {

TEST(ThreadPool, RunCallsEveryWorkerOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<int> calls(static_cast<size_t>(threads), 0);
    for (int round = 0; round < 200; ++round) {
      pool.run([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
    }
    EXPECT_EQ(calls, std::vector<int>(static_cast<size_t>(threads), 200));
  }
}

TEST(ThreadPool, ParallelForCoversEachIndexOnceOnGrainBorders) {
  ThreadPool pool(3);
  for (int64_t n : {0, 1, 15, 16, 17, 48, 1000}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
    pool.parallel_for(n, 16, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(begin % 16, 0);
      EXPECT_TRUE(end == n || end % 16 == 0);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (auto& count : seen) EXPECT_EQ(count.load(), 1);
  }
}

TEST(ThreadPool, ParallelDynamicCoversEachIndexOnce) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> seen(777);
  pool.parallel_dynamic(777, [&](int64_t i) { ++seen[static_cast<size_t>(i)]; });
  for (auto& count : seen) EXPECT_EQ(count.load(), 1);
}

TEST(ThreadPool, SleepingWorkersWakeForTheNextJob) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> ran{0};
    pool.run([&](int) { ++ran; });
    EXPECT_EQ(ran.load(), 2);
  }
}

int current_core_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

TEST(ThreadPool, WorkersArePinnedWhereThereAreCores) {
  const int cores = usable_cores();
  if (cores != current_core_count()) GTEST_SKIP() << "a quota below the affinity mask";
  for (int first : {0, cores - 1, cores}) {
    ThreadPool pool(2, {.first = first});
    std::vector<int> counts(2, 0);
    pool.run([&](int worker) { counts[static_cast<size_t>(worker)] = current_core_count(); });
    const bool fits = first + 1 < cores;
    EXPECT_EQ(counts[1], fits ? 1 : cores) << "first " << first << " of " << cores;
    EXPECT_EQ(counts[0], cores);
  }
}

TEST(ThreadPool, PoolsOfRanksShareNoCore) {
  constexpr int kThreads = 2;
  const int cores = usable_cores();
  if (cores < 2 * kThreads) GTEST_SKIP() << "only " << cores << " cores";
  std::vector<int> core(2, -1);
  for (int rank = 0; rank < 2; ++rank) {
    ThreadPool pool(kThreads, {.first = rank * kThreads});
    pool.run([&](int worker) {
      if (worker == 1) core[static_cast<size_t>(rank)] = sched_getcpu();
    });
  }
  EXPECT_NE(core[0], core[1]);
}

}  // namespace
}  // namespace lmdeploy
