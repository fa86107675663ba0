// ThreadGroup: the ranks of a tensor-parallel group that are threads of this process and share its
// memory.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "comm/communicator.h"

namespace lmdeploy {

class ThreadGroup {
 public:
  explicit ThreadGroup(int size);
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  // Of host views. Lives as long as the group; one thread drives it at a time.
  Communicator& rank(int index) { return *ranks_[static_cast<size_t>(index)]; }

 private:
  class Rank;

  // Returns once every rank has called it as often as this one. Waiters sleep.
  void barrier();

  int size_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> round_{0};
  std::vector<TensorView> views_;  // what each rank brings to the operation at hand
  std::vector<std::unique_ptr<Communicator>> ranks_;
};

}  // namespace lmdeploy
