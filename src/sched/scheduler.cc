// Life and death of sequences: add, cancel, complete, preemption. Planning is scheduler_plan.cc.
#include "sched/scheduler.h"

#include <algorithm>

#include "base/check.h"

namespace lmdeploy {

Scheduler::Scheduler(SchedulerOptions options, std::unique_ptr<SchedulingPolicy> policy)
    : options_(std::move(options)),
      policy_(std::move(policy)),
      pool_(options_.num_blocks),
      cache_(options_.layout, options_.kv_format, pool_),
      adapters_(options_.adapter_slots),
      budget_(options_.budget),
      encoder_tokens_free_(options_.encoder_tokens) {
  CHECK(options_.max_batch_size > 0, "max_batch_size is {}", options_.max_batch_size);
  CHECK(!options_.layout.groups.empty(), "a layout without KV groups");
  for (int slot = options_.max_batch_size - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

// What the sequence needs in its last decode row, when nothing else runs and no row is in flight.
int Scheduler::least_blocks(const NewSequence& request) const {
  const int block_tokens = options_.layout.block_tokens;
  const int prompt = static_cast<int>(request.prompt->size());
  // The last token is never fed back, so it needs no place.
  const int all = blocks_for(std::max(prompt, prompt + request.max_new_tokens - 1), block_tokens);
  int blocks = 0;
  for (const KvGroupSpec& group : options_.layout.groups) {
    switch (group.kind) {
      case KvGroupKind::kFull:
      case KvGroupKind::kLatent:
        blocks += all;
        break;
      case KvGroupKind::kWindow:
        // `window` tokens at any alignment.
        blocks += std::min(all, (group.window + block_tokens - 2) / block_tokens + 1);
        break;
      case KvGroupKind::kRecurrent:
        blocks += 1;
        break;
    }
  }
  return blocks;
}

Status Scheduler::check(const NewSequence& request) const {
  CHECK(!request.ids.empty() && request.prompt, "a sequence without ids or a prompt");
  for (SequenceId id : request.ids) CHECK(!sequences_.contains(id), "sequence {} exists", id);
  if (request.prompt->empty()) {
    return invalid_argument("the prompt has no tokens; at least one is needed");
  }
  if (request.max_new_tokens < 0 || request.draft_tokens < 0) {
    return invalid_argument("max_new_tokens is {} and draft_tokens {}; neither can be negative",
                            request.max_new_tokens, request.draft_tokens);
  }
  const int needed = least_blocks(request);
  if (needed > pool_.num_blocks()) {
    return invalid_argument(
        "a prompt of {} tokens and {} new tokens need {} KV cache blocks of {} tokens; the cache "
        "has {}: shorten the request or raise cache_max_entry_count",
        request.prompt->size(), request.max_new_tokens, needed, options_.layout.block_tokens,
        pool_.num_blocks());
  }
  if (request.encoder_tokens > options_.encoder_tokens) {
    return invalid_argument("the request's media take {} tokens; at most {} fit",
                            request.encoder_tokens, options_.encoder_tokens);
  }
  if (request.adapter != 0 && adapters_.num_slots() == 0) {
    return invalid_argument("the request names an adapter; this engine has no adapter slots");
  }
  return {};
}

Status Scheduler::add(NewSequence request) {
  RETURN_IF_ERROR(check(request));
  const Arrival arrival{
      .number = arrivals_,
      .step = last_step_,
      .priority = request.priority,
      .salt = request.salt,
      .tokens = static_cast<int64_t>(request.prompt->size()) + request.max_new_tokens};
  const int64_t rank = policy_->rank(arrival);
  for (size_t choice = 0; choice < request.ids.size(); ++choice) {
    auto sequence = std::make_unique<Sequence>(options_.layout);
    sequence->id = request.ids[choice];
    sequence->rank = rank;
    sequence->arrival = arrivals_++;
    sequence->adapter = request.adapter;
    sequence->max_new_tokens = request.max_new_tokens;
    sequence->draft_tokens = request.draft_tokens;
    sequence->encoder_tokens = request.encoder_tokens;
    sequence->bypass_cache = request.bypass_cache;
    sequence->private_blocks = request.private_blocks;
    sequence->prompt_logits = request.prompt_logits && choice == 0;
    sequence->media = request.media;
    sequence->prompt = request.prompt;
    sequence->prompt_len = static_cast<int>(request.prompt->size());
    sequence->keys.scope = {request.salt, request.adapter};
    if (choice == 0) {
      sequence->followers.assign(request.ids.begin() + 1, request.ids.end());
    } else {
      sequence->fork_leader = request.ids[0];
    }
    enqueue(*sequence);
    const bool is_new = sequences_.emplace(sequence->id, std::move(sequence)).second;
    CHECK(is_new, "sequence {} is twice in one request", request.ids[choice]);
  }
  return {};
}

Sequence* Scheduler::find(SequenceId id) {
  const auto it = sequences_.find(id);
  return it == sequences_.end() ? nullptr : it->second.get();
}

bool Scheduler::cancel(SequenceId id, int kept_tokens) {
  Sequence* sequence = find(id);
  if (sequence == nullptr) return false;
  CHECK(kept_tokens >= 0, "cancel of sequence {} keeps {} tokens", id, kept_tokens);
  finish(*sequence, std::min(kept_tokens, sequence->generated()));
  return true;
}

void Scheduler::forget(uint64_t salt, uint64_t adapter, std::span<const int32_t> tokens,
                       std::span<const MediaSpan> media, int kept_length) {
  PrefixKeys keys{.scope = {salt, adapter}};
  cache_.extend_keys(keys, tokens, media);
  cache_.forget(keys, tokens, kept_length / options_.layout.block_tokens);
}

void Scheduler::complete(StepId step, std::span<const RowResult> results) {
  CHECK(num_inflight_ > 0 && inflight_[0].step == step, "step {} completed; step {} is next", step,
        num_inflight_ > 0 ? inflight_[0].step : -1);
  const std::vector<RowRecord>& rows = inflight_[0].rows;
  CHECK(results.size() == rows.size(), "{} results for the {} rows of step {}", results.size(),
        rows.size(), step);
  for (size_t i = 0; i < rows.size(); ++i) apply(rows[i], results[i]);
  std::rotate(inflight_.begin(), inflight_.begin() + 1,
              inflight_.begin() + static_cast<ptrdiff_t>(num_inflight_));
  --num_inflight_;
}

void Scheduler::apply(const RowRecord& row, const RowResult& result) {
  Sequence* sequence = find(row.sequence);
  if (sequence == nullptr) return;  // ended while the row was in flight
  const int added = static_cast<int>(result.tokens.size());
  CHECK(added <= row.max_new, "sequence {} got {} tokens from a row that gives at most {}",
        row.sequence, added, row.max_new);
  --sequence->inflight_rows;
  sequence->inflight_new -= row.max_new;
  sequence->append(result.tokens);
  if (sequence->phase == Phase::kWaiting) waiting_tokens_ += added;
  if (row.ends_prefill) release_encoder_tokens(*sequence);
  const int generated = sequence->generated();
  if (result.finished) {
    CHECK(result.kept_tokens >= 0 && result.kept_tokens <= generated,
          "sequence {} keeps {} of {} generated tokens", row.sequence, result.kept_tokens,
          generated);
    finish(*sequence, result.kept_tokens);
  } else if (sequence->max_new_tokens == 0 ? row.ends_prefill
                                           : generated == sequence->max_new_tokens) {
    finish(*sequence, generated);
  }
}

void Scheduler::retire(StepId step) { pool_.retire(step); }

void Scheduler::enqueue(Sequence& sequence) {
  waiting_.insert({{sequence.rank, sequence.arrival}, &sequence});
  waiting_tokens_ += sequence.length();
}

void Scheduler::dequeue(Sequence& sequence) {
  waiting_.erase({{sequence.rank, sequence.arrival}, &sequence});
  waiting_tokens_ -= sequence.length();
}

void Scheduler::stop_running(Sequence& sequence) {
  sequence.tables.clear();
  free_slots_.push_back(std::exchange(sequence.slot, -1));
  adapters_.release(std::exchange(sequence.adapter_slot, kNoAdapter));
  release_encoder_tokens(sequence);
  sequence.phase = Phase::kWaiting;
  sequence.planned = 0;
  sequence.published = 0;
  running_.erase(std::find(running_.begin(), running_.end(), &sequence));
}

void Scheduler::release_encoder_tokens(Sequence& sequence) {
  if (!std::exchange(sequence.holds_encoder_tokens, false)) return;
  encoder_tokens_free_ += sequence.encoder_tokens;
}

void Scheduler::preempt(Sequence& sequence) {
  publish(sequence, sequence.least_kv());
  if (sequence.phase == Phase::kPrefill && sequence.generated() == 0) ++totals_.prefill_preemptions;
  stop_running(sequence);
  enqueue(sequence);
  ++totals_.preemptions;
}

// Tells the cache about the full blocks among the first `tokens` tokens, all of them computed by
// steps launched before.
void Scheduler::publish(Sequence& sequence, int tokens) {
  const int last = tokens / options_.layout.block_tokens;
  if (!cache_.enabled() || last <= sequence.published) return;
  cache_.extend_keys(sequence.keys, sequence.tokens(), sequence.media);
  sequence.tables.publish(cache_, sequence.keys, sequence.tokens(), sequence.published, last);
  sequence.published = last;
  sequence.published_ever = std::max(sequence.published_ever, last);
}

void Scheduler::finish(Sequence& sequence, int kept_tokens) {
  const int kept = sequence.prompt_len + kept_tokens;
  const int kept_blocks = kept / options_.layout.block_tokens;
  if (sequence.published_ever > kept_blocks) {
    cache_.forget(sequence.keys, sequence.tokens(), kept_blocks);
  }
  leave_fork_group(sequence);
  if (sequence.phase == Phase::kWaiting) {
    dequeue(sequence);
  } else {
    if (!sequence.private_blocks) publish(sequence, std::min(sequence.least_kv(), kept));
    stop_running(sequence);
  }
  sequences_.erase(sequence.id);
}

// The first choice that still waits for this one computes the prompt instead of it.
void Scheduler::leave_fork_group(Sequence& sequence) {
  if (sequence.fork_leader != 0) {
    if (Sequence* leader = find(sequence.fork_leader)) std::erase(leader->followers, sequence.id);
    sequence.fork_leader = 0;
  }
  if (sequence.followers.empty()) return;
  Sequence* heir = find(sequence.followers.front());
  heir->fork_leader = 0;
  heir->followers.assign(sequence.followers.begin() + 1, sequence.followers.end());
  for (SequenceId id : heir->followers) find(id)->fork_leader = heir->id;
  sequence.followers.clear();
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = totals_;
  stats.running = static_cast<int>(running_.size());
  stats.waiting = static_cast<int>(waiting_.size());
  stats.blocks_in_use = pool_.num_in_use() + pool_.num_retiring();
  stats.blocks_cached = pool_.num_cached();
  stats.blocks_free = pool_.num_free();
  stats.steps = last_step_;
  return stats;
}

}  // namespace lmdeploy
