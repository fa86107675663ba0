// Scheduler: which sequences run in the next step, with how many tokens, on which KV blocks.
// Pure host logic; docs/dev/scheduler.md has the states, invariants and ownership on one page.
//
// A step's life:  plan(s)  ->  [device runs]  ->  complete(s)  and  retire(s).
// The next steps may be planned before s completes (one or two, as the engine likes); complete()
// and retire() are each called once per planned step, in order. An empty plan is no step: nothing
// can run before results, a retirement or a new sequence arrive.
//
// Promises: total tokens of a plan <= max_step_tokens; a sequence that add() took finishes or is
// cancelled, whatever is preempted meanwhile; a block is named by no step after its release until
// the steps that named it have retired (hits on its old content excepted).
//
// Not thread-safe: the engine thread owns it.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "sched/adapter_slots.h"
#include "sched/block_pool.h"
#include "sched/kv_group.h"
#include "sched/policy.h"
#include "sched/prefix_cache.h"
#include "sched/sequence.h"
#include "sched/step_budget.h"
#include "sched/step_plan.h"

namespace lmdeploy {

struct SchedulerOptions {
  KvLayout layout;
  int num_blocks = 0;            // in the pool, all groups together
  int max_batch_size = 128;      // slots: sequences that run at once
  StepBudgetOptions budget;      // tokens per step
  int adapter_slots = 0;         // adapters resident at once
  int encoder_tokens = 1 << 30;  // media tokens of sequences in prefill
  uint64_t kv_format = 0;        // part of every prefix key
  // Share of the pool that admission leaves for the growth of what runs already.
  double admission_reserve = 0.01;
};

// What a row of a step gave. complete() takes one per row of the plan, in the plan's order.
struct RowResult {
  std::span<const int32_t> tokens;  // accepted: at most num_tokens of a decode row, 1 of the last
                                    // prefill row; none where the row does not sample. None from
                                    // a sampling row means that the slot did not advance
  bool finished = false;            // the sequence ends with this row
  int kept_tokens = 0;              // finished: generated tokens kept in all, of all steps
};

struct SchedulerStats {
  int running = 0;
  int waiting = 0;
  int blocks_in_use = 0;  // retiring ones included
  int blocks_cached = 0;
  int blocks_free = 0;
  int64_t steps = 0;
  int64_t preemptions = 0;
  int64_t prefill_preemptions = 0;  // of those, of a sequence part of whose prompt was computed
  int64_t prefix_query_tokens = 0;  // prompt tokens of admitted sequences
  int64_t prefix_hit_tokens = 0;    // of those, found in the cache or shared between choices
};

class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options,
                     std::unique_ptr<SchedulingPolicy> policy = std::make_unique<ArrivalPolicy>());

  // Queues the sequence, or says why it can never run.
  Status add(NewSequence request);

  // Ends a sequence in any state, its first `kept_tokens` generated tokens being kept: only they
  // become known to the prefix cache. False: it is gone already (finished or cancelled).
  // Results of its rows in flight are ignored.
  bool cancel(SequenceId id, int kept_tokens);

  // For an answer that the text pool shortened after its sequence had finished: the cache forgets
  // what lies behind the first `kept_length` of these tokens (prompt and answer).
  void forget(uint64_t salt, uint64_t adapter, std::span<const int32_t> tokens,
              std::span<const MediaSpan> media, int kept_length);

  // Decides the next step. Reuses the vectors of `plan`. A plan that is not empty is launched.
  void plan(StepPlan& plan);

  // The results of step `step` are known. A sequence that has max_new_tokens tokens (or, with
  // max_new_tokens 0, its prompt) finishes by itself.
  void complete(StepId step, std::span<const RowResult> results);

  // The device is done with everything of step `step`.
  void retire(StepId step);

  bool has(SequenceId id) const { return sequences_.contains(id); }
  bool idle() const { return sequences_.empty(); }
  SchedulerStats stats() const;
  const BlockPool& pool() const { return pool_; }

 private:
  using WaitingKey = std::pair<std::pair<int64_t, int64_t>, Sequence*>;  // ((rank, arrival), who)
  struct RowRecord {
    SequenceId sequence = 0;
    int max_new = 0;         // tokens the row can add
    bool ends_prefill = false;
  };
  struct StepRecord {
    StepId step = 0;
    std::vector<RowRecord> rows;
  };
  struct PlannedRow {
    Sequence* sequence = nullptr;
    PlanRow row;
    int max_new = 0;
  };

  // The answer to "may this run?"
  Status check(const NewSequence& request) const;
  int least_blocks(const NewSequence& request) const;

  // plan(), in order
  void plan_running();
  void plan_decode(size_t index);
  void plan_prefill(size_t index);
  int place(size_t index, int first, int tokens);
  bool make_room(size_t index, int blocks);
  void admit(StepPlan& plan);
  bool waits_for_leader(const Sequence& sequence);
  bool try_admit(Sequence& sequence, StepPlan& plan);
  bool can_fork(const Sequence* leader, const Sequence& sequence) const;
  bool blocks_suffice(const Sequence& sequence, bool forks, int hit_blocks) const;
  int future_blocks(int have, int tokens) const;
  void start_running(Sequence& sequence, StepPlan& plan);
  void emit(StepPlan& plan);

  // moves and ends
  void enqueue(Sequence& sequence);
  void dequeue(Sequence& sequence);
  void stop_running(Sequence& sequence);
  void release_encoder_tokens(Sequence& sequence);
  void preempt(Sequence& sequence);
  void publish(Sequence& sequence, int tokens);
  void finish(Sequence& sequence, int kept_tokens);
  void leave_fork_group(Sequence& sequence);
  void apply(const RowRecord& row, const RowResult& result);
  Sequence* find(SequenceId id);

  SchedulerOptions options_;
  std::unique_ptr<SchedulingPolicy> policy_;
  BlockPool pool_;
  PrefixCache cache_;
  AdapterSlots adapters_;
  StepBudget budget_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::set<WaitingKey> waiting_;
  int64_t waiting_tokens_ = 0;
  std::vector<Sequence*> running_;  // by (rank, arrival)
  std::vector<int> free_slots_;
  int encoder_tokens_free_;
  int64_t arrivals_ = 0;
  StepId last_step_ = 0;
  std::vector<StepRecord> inflight_;  // the first num_inflight_, oldest first; the rest is spare
  size_t num_inflight_ = 0;
  SchedulerStats totals_;

  // Of the plan being made.
  std::vector<PlannedRow> decode_rows_, prefill_rows_;
  int decode_budget_ = 0, prefill_budget_ = 0;
  bool short_of_blocks_ = false;  // a senior sequence waits for blocks: juniors take none
  int promised_blocks_ = 0;       // that running prompts will still take
};

}  // namespace lmdeploy
