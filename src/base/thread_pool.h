// ThreadPool: the compute threads of one device. A fork-join team, not a task queue: every op of a
// forward pass runs on the whole team and ends with a barrier, so the barrier is what is made cheap.
//
// Workers are pinned to the cores the process may use (affinity and cgroup quota). Between jobs a
// worker spins for at most 100 us and then sleeps, so an idle engine uses no CPU. That is more than
// the host's part of a decode step (some 40 us): waking a sleeper would cost each token 50 us.
//
// Thread-safety: one thread at a time may call run() / parallel_for(); they do not nest.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace lmdeploy {

// Cores this process may use: min(affinity mask, cgroup CPU quota rounded up), at least 1.
int usable_cores();

// Which of the usable cores a pool's workers are pinned to: worker w to number first + w * stride.
// Worker 0 is the caller, whose core is its own affair.
struct PoolCores {
  int first = 0;
  int stride = 1;
};

class ThreadPool {
 public:
  // `threads` counts the caller: ThreadPool(1) starts none. 0 = usable_cores(). A pool that asks for
  // more cores than there are is not pinned.
  explicit ThreadPool(int threads = 0, PoolCores cores = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls fn(worker) once for every worker in [0, size()), the caller being worker 0, and returns
  // when all have returned.
  void run(FunctionRef<void(int)> fn);

  // Calls fn(begin, end) on disjoint ranges that cover [0, n): one contiguous range a worker, every
  // border but the last a multiple of `grain`. Runs inline when n <= grain.
  void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> fn);

  // Calls fn(index) for each index in [0, n), handed out one at a time: for uneven work.
  void parallel_dynamic(int64_t n, FunctionRef<void(int64_t)> fn);

 private:
  void worker_loop(int worker);
  // Waits for a generation other than `seen`.
  void await_job(uint64_t seen);

  int size_;
  std::vector<std::thread> threads_;
  // What the workers watch, in one cache line.
  alignas(64) std::atomic<uint64_t> generation_{0};
  const FunctionRef<void(int)>* job_ = nullptr;
  // What the caller watches.
  alignas(64) std::atomic<int> pending_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
};

}  // namespace lmdeploy
