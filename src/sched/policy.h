// Who goes first. The scheduler asks once, when a request arrives: a smaller rank is admitted
// first and preempted last, and equal ranks go by arrival. A rank that is fixed on arrival cannot
// starve anybody as long as later arrivals get ever larger ranks. A quality-of-service policy
// (weights per user, quotas) is another subclass: virtual finish times are ranks.
#pragma once

#include <cstdint>

namespace lmdeploy {

struct Arrival {
  int64_t number = 0;  // 0, 1, 2, ... in the order of Scheduler::add
  int64_t step = 0;    // last step planned when it arrived
  int priority = 0;    // larger is more urgent
  uint64_t salt = 0;   // tenant or session
  int64_t tokens = 0;  // prompt plus the longest answer
};

class SchedulingPolicy {
 public:
  virtual ~SchedulingPolicy() = default;
  virtual int64_t rank(const Arrival& arrival) = 0;
};

// First come, first served; each level of priority overtakes those that arrived up to
// `steps_per_priority` steps earlier, so that a stream of urgent requests cannot starve the rest.
class ArrivalPolicy : public SchedulingPolicy {
 public:
  explicit ArrivalPolicy(int64_t steps_per_priority = 1000)
      : steps_per_priority_(steps_per_priority) {}
  int64_t rank(const Arrival& arrival) override {
    return arrival.step - arrival.priority * steps_per_priority_;
  }

 private:
  int64_t steps_per_priority_;
};

}  // namespace lmdeploy
