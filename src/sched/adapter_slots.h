// AdapterSlots: which LoRA adapter sits in which adapter slot. An adapter stays in its slot while
// a running sequence uses it and afterwards until the slot is needed for another one.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "sched/step_plan.h"

namespace lmdeploy {

class AdapterSlots {
 public:
  explicit AdapterSlots(int num_slots) : slots_(num_slots) {}

  int num_slots() const { return static_cast<int>(slots_.size()); }

  // True if acquire(adapter) would find a slot. The base model (0) needs none.
  bool can_acquire(uint64_t adapter) const { return adapter == 0 || choose(adapter) >= 0; }

  // The adapter's slot, used once more; kNoAdapter for the base model. Appends to `loads` when
  // the adapter is not there yet. CHECKs can_acquire(adapter).
  int acquire(uint64_t adapter, std::vector<AdapterLoad>& loads);

  void release(int slot);  // kNoAdapter is allowed

 private:
  struct Slot {
    uint64_t adapter = 0;  // 0: empty
    int users = 0;
    int64_t last_used = 0;
  };
  // The slot that holds the adapter, else the idle slot unused for longest, else -1.
  int choose(uint64_t adapter) const;

  std::vector<Slot> slots_;
  int64_t clock_ = 0;
};

}  // namespace lmdeploy
