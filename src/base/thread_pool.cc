#include "base/thread_pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>

#include "base/check.h"

namespace lmdeploy {

namespace {

constexpr auto kSpin = std::chrono::microseconds(100);
constexpr int kLooksPerClock = 64;  // of a spinning worker at the generation

std::vector<int> affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

// cgroup v2 `cpu.max` ("quota period" or "max period"); no file or "max": unlimited.
int cgroup_quota_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  return std::max(1, static_cast<int>(std::ceil(std::atof(quota.c_str()) / period)));
}

void pin_to(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

int usable_cores() {
  return std::min(static_cast<int>(affinity_cores().size()), cgroup_quota_cores());
}

ThreadPool::ThreadPool(int threads, PoolCores place) : size_(threads > 0 ? threads : usable_cores()) {
  const std::vector<int> cores = affinity_cores();
  // Two workers pinned to one core would run in turns: then the kernel places all of them.
  const bool pin = place.first + (size_ - 1) * place.stride < static_cast<int>(cores.size());
  for (int worker = 1; worker < size_; ++worker) {
    const int core = pin ? cores[static_cast<size_t>(place.first + worker * place.stride)] : -1;
    threads_.emplace_back([this, worker, core] {
      if (core >= 0) pin_to(core);
      worker_loop(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run(FunctionRef<void(int)> fn) {
  if (size_ == 1) {
    fn(0);
    return;
  }
  job_ = &fn;
  pending_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  fn(0);
  for (int spins = 0; pending_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < 4096) {
      _mm_pause();
    } else {
      std::this_thread::yield();
    }
  }
  job_ = nullptr;
}

void ThreadPool::await_job(uint64_t seen) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (generation_.load(std::memory_order_acquire) != seen) return;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void ThreadPool::worker_loop(int worker) {
  uint64_t seen = 0;
  for (;;) {
    await_job(seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    (*job_)(worker);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> fn) {
  CHECK(grain > 0, "grain is {}", grain);
  if (n <= 0) return;
  if (size_ == 1 || n <= grain) {
    fn(0, n);
    return;
  }
  const int64_t chunks = (n + grain - 1) / grain;
  run([&](int worker) {
    const int64_t begin = chunks * worker / size_ * grain;
    const int64_t end = std::min(n, chunks * (worker + 1) / size_ * grain);
    if (begin < end) fn(begin, end);
  });
}

void ThreadPool::parallel_dynamic(int64_t n, FunctionRef<void(int64_t)> fn) {
  if (size_ == 1 || n <= 1) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  std::atomic<int64_t> next{0};
  run([&](int) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) fn(i);
  });
}

}  // namespace lmdeploy
