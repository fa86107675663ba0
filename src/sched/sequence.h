// A request's choice on its way through the scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sched/kv_tables.h"
#include "sched/prefix_cache.h"
#include "sched/step_plan.h"

namespace lmdeploy {

// What Scheduler::add takes. Lengths are in tokens.
struct NewSequence {
  std::vector<SequenceId> ids;  // one per choice (n); the prompt is computed once for all
  // At least one token; media are placeholder tokens. The choices share it.
  std::shared_ptr<const std::vector<int32_t>> prompt;
  int max_new_tokens = 0;       // 0: the prompt alone is computed, nothing is sampled
  int priority = 0;             // larger is more urgent
  uint64_t salt = 0;            // blocks are shared only between equal salts
  uint64_t adapter = 0;         // 0: the base model
  bool bypass_cache = false;    // compute the whole prompt; its blocks still become known
  bool private_blocks = false;  // nobody else has this salt: its blocks are worthless when it ends
  bool prompt_logits = false;   // kRowAllLogits on the first choice's prompt; implies bypass_cache
  int draft_tokens = 0;         // most speculated tokens that a decode row verifies
  int encoder_tokens = 0;       // held from admission until the prompt is computed
  std::vector<MediaSpan> media;
};

// kWaiting -> kPrefill -> kDecode -> gone; preemption goes back to kWaiting.
enum class Phase : uint8_t { kWaiting, kPrefill, kDecode };

struct Sequence {
  explicit Sequence(const KvLayout& layout) : tables(layout) {}

  SequenceId id = 0;
  int64_t rank = 0;     // SchedulingPolicy's; smaller first
  int64_t arrival = 0;  // breaks ties; unique
  uint64_t adapter = 0;
  int max_new_tokens = 0;
  int draft_tokens = 0;
  int encoder_tokens = 0;
  bool bypass_cache = false;
  bool private_blocks = false;
  bool prompt_logits = false;
  std::vector<MediaSpan> media;

  std::shared_ptr<const std::vector<int32_t>> prompt;
  std::vector<int32_t> grown;  // prompt, then what complete() accepted; empty before the first of it
  int prompt_len = 0;
  PrefixKeys keys;
  int published = 0;       // leading blocks of the tables that the prefix cache was told of
  int published_ever = 0;  // the same, before any preemption too
  int logits_planned = 0;  // prompt positions whose logits a launched row delivers

  Phase phase = Phase::kWaiting;
  KvTables tables;
  int slot = -1;
  int adapter_slot = kNoAdapter;
  bool holds_encoder_tokens = false;
  bool starts_slot = false;  // no row since the slot was given
  int prefill_end = 0;       // kPrefill: tokens known at admission
  int planned = 0;           // kPrefill: KV length after all launched rows, exact
  int planned_before = 0;    // KV length before the row of the plan being made, at most
  int inflight_rows = 0;     // launched rows whose results are not known
  int inflight_new = 0;      // the most tokens they can add

  SequenceId fork_leader = 0;         // waiting for this choice's prompt to be computed; 0: nobody's
  std::vector<SequenceId> followers;  // choices that wait for this one

  std::span<const int32_t> tokens() const { return grown.empty() ? *prompt : grown; }
  void append(std::span<const int32_t> accepted) {
    if (accepted.empty()) return;
    if (grown.empty()) grown = *prompt;
    grown.insert(grown.end(), accepted.begin(), accepted.end());
  }
  int length() const { return static_cast<int>(tokens().size()); }
  int generated() const { return length() - prompt_len; }
  bool grows() const { return phase == Phase::kDecode && max_new_tokens > 0; }
  // The most positions that launched rows may have filled, and the fewest.
  int most_kv() const { return grows() ? length() - 1 + inflight_new : planned; }
  int least_kv() const { return grows() ? length() - 1 : planned; }
  // Query tokens of the next decode row; 0: rows in flight may already reach the end.
  int decode_tokens() const {
    const int room = max_new_tokens - generated() - inflight_new;
    return room <= 0 ? 0 : (1 + draft_tokens < room ? 1 + draft_tokens : room);
  }
};

}  // namespace lmdeploy
