#include "sched/adapter_slots.h"

#include "base/check.h"

namespace lmdeploy {

int AdapterSlots::choose(uint64_t adapter) const {
  int oldest = -1;
  for (int i = 0; i < num_slots(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.adapter == adapter) return i;
    if (slot.users > 0) continue;
    if (oldest < 0 || slot.last_used < slots_[oldest].last_used) oldest = i;
  }
  return oldest;
}

int AdapterSlots::acquire(uint64_t adapter, std::vector<AdapterLoad>& loads) {
  if (adapter == 0) return kNoAdapter;
  const int index = choose(adapter);
  CHECK(index >= 0, "no adapter slot for adapter {}", adapter);
  Slot& slot = slots_[index];
  if (slot.adapter != adapter) {
    slot.adapter = adapter;
    loads.push_back({adapter, index});
  }
  ++slot.users;
  slot.last_used = ++clock_;
  return index;
}

void AdapterSlots::release(int slot) {
  if (slot == kNoAdapter) return;
  CHECK(slots_[slot].users > 0, "adapter slot {} released more often than acquired", slot);
  --slots_[slot].users;
}

}  // namespace lmdeploy
