// One step's plan: running sequences in order of seniority, then admission, then the flat plan.
#include <algorithm>

#include "base/check.h"
#include "sched/scheduler.h"

namespace lmdeploy {

void Scheduler::plan(StepPlan& plan) {
  plan.clear();
  plan.num_groups = options_.layout.num_groups();
  decode_rows_.clear();
  prefill_rows_.clear();
  short_of_blocks_ = false;

  int decode_tokens = 0;
  int64_t pending = waiting_tokens_;
  for (const Sequence* sequence : running_) {
    if (sequence->phase == Phase::kDecode) decode_tokens += sequence->decode_tokens();
    if (sequence->phase == Phase::kPrefill) pending += sequence->prefill_end - sequence->planned;
  }
  // The most senior sequence always gets a token, or juniors that wait for its blocks would hold
  // it back.
  const bool senior_prefills = !running_.empty() && running_[0]->phase == Phase::kPrefill;
  decode_budget_ = std::min(decode_tokens, budget_.max_step_tokens() - senior_prefills);
  prefill_budget_ = budget_.prefill_tokens(pending, decode_budget_);

  plan_running();
  admit(plan);
  emit(plan);
}

// Only juniors of the sequence at hand are preempted, and they come later in this loop: nobody
// loses blocks that this plan names.
void Scheduler::plan_running() {
  promised_blocks_ = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    sequence.planned_before = sequence.most_kv();
    publish(sequence, std::min(sequence.least_kv(), sequence.prompt_len));
    sequence.tables.drop_behind(sequence.least_kv());
    if (sequence.phase == Phase::kDecode) {
      plan_decode(i);
    } else {
      plan_prefill(i);
    }
  }
}

void Scheduler::plan_decode(size_t index) {
  Sequence& sequence = *running_[index];
  const int wanted = std::min(sequence.decode_tokens(), decode_budget_);
  if (wanted == 0) return;
  const int first = sequence.most_kv();
  const int tokens = place(index, first, wanted);
  if (tokens == 0) return;
  decode_budget_ -= tokens;
  ++sequence.inflight_rows;
  sequence.inflight_new += tokens;
  decode_rows_.push_back({&sequence,
                          {.sequence = sequence.id,
                           .slot = sequence.slot,
                           .first_position = first,
                           .num_tokens = tokens,
                           .kv_length = first + tokens,
                           .token_offset = kTokenOnSlot,
                           .flags = kRowSample,
                           .adapter_slot = sequence.adapter_slot},
                          tokens});
}

void Scheduler::plan_prefill(size_t index) {
  Sequence& sequence = *running_[index];
  const int first = sequence.planned;
  // Choices that wait for this one's prompt start from its second last token on.
  const bool stops_to_fork = !sequence.followers.empty() && first < sequence.prompt_len - 1;
  const int end = stops_to_fork ? sequence.prompt_len - 1 : sequence.prefill_end;
  const int wanted = std::min(end - first, prefill_budget_);
  const int tokens = wanted > 0 ? place(index, first, wanted) : 0;
  if (tokens > 0) {
    prefill_budget_ -= tokens;
    sequence.planned = first + tokens;
    const bool ends = sequence.planned == sequence.prefill_end;
    const bool samples = ends && sequence.max_new_tokens > 0;
    uint32_t flags = kRowPrefill | (samples ? kRowSample : 0u) |
                     (std::exchange(sequence.starts_slot, false) ? kRowStartsSlot : 0u);
    const int prompt_end = std::min(sequence.planned, sequence.prompt_len);
    if (sequence.prompt_logits && prompt_end > sequence.logits_planned) {
      flags |= kRowAllLogits;
      sequence.logits_planned = prompt_end;
    }
    ++sequence.inflight_rows;
    sequence.inflight_new += samples;
    prefill_rows_.push_back({&sequence,
                             {.sequence = sequence.id,
                              .slot = sequence.slot,
                              .first_position = first,
                              .num_tokens = tokens,
                              .kv_length = first + tokens,
                              .flags = flags,
                              .adapter_slot = sequence.adapter_slot},
                             samples ? 1 : 0});
    if (ends) {
      sequence.phase = Phase::kDecode;
      return;
    }
  }
  promised_blocks_ += future_blocks(sequence.tables.end(), sequence.prefill_end);
}

// Finds blocks for up to `tokens` tokens from position `first` on, preempting juniors if not even
// one token has a place. Returns how many have one.
int Scheduler::place(size_t index, int first, int tokens) {
  KvTables& tables = running_[index]->tables;
  auto placeable = [&] {
    const int blocks = short_of_blocks_ ? 0 : pool_.available();
    return std::min(tokens, tables.tokens_within(blocks) - first);
  };
  int placed = placeable();
  if (placed <= 0) {
    if (short_of_blocks_ || !make_room(index, tables.blocks_to_hold(first + 1))) return 0;
    placed = placeable();
  }
  tables.grow(first + placed, pool_);
  return placed;
}

bool Scheduler::make_room(size_t index, int blocks) {
  while (pool_.available() < blocks) {
    const bool enough_retire = pool_.available() + pool_.num_retiring() >= blocks;
    if (enough_retire || index + 1 == running_.size()) {
      short_of_blocks_ = true;
      return false;
    }
    preempt(*running_.back());
  }
  return true;
}

// Strictly in order: the first that finds something missing holds back all behind it, so that
// small requests cannot starve a large one. Only choices that wait for their leader are passed.
void Scheduler::admit(StepPlan& plan) {
  auto it = waiting_.begin();
  while (it != waiting_.end() && !short_of_blocks_ && prefill_budget_ > 0 &&
         !free_slots_.empty()) {
    Sequence& sequence = *(it++)->second;
    if (waits_for_leader(sequence)) continue;
    if (!try_admit(sequence, plan)) break;
  }
}

bool Scheduler::waits_for_leader(const Sequence& sequence) {
  if (sequence.fork_leader == 0) return false;
  const Sequence& leader = *find(sequence.fork_leader);
  return leader.phase == Phase::kWaiting || leader.planned_before < sequence.prompt_len - 1;
}

bool Scheduler::can_fork(const Sequence* leader, const Sequence& sequence) const {
  const int position = sequence.prompt_len - 1;
  if (leader == nullptr || position == 0 || !leader->tables.holds_for(position)) return false;
  // A recurrent state is a prefix's only until the next token goes in.
  return !options_.layout.has(KvGroupKind::kRecurrent) || leader->planned_before == position;
}

bool Scheduler::try_admit(Sequence& sequence, StepPlan& plan) {
  if (sequence.inflight_rows > 0) return false;  // preempted a moment ago: not all tokens known
  if (sequence.encoder_tokens > encoder_tokens_free_ || !adapters_.can_acquire(sequence.adapter)) {
    return false;
  }
  const Sequence* leader = sequence.fork_leader == 0 ? nullptr : find(sequence.fork_leader);
  const bool forks = can_fork(leader, sequence);
  const bool bypass = sequence.bypass_cache ||
                      (sequence.prompt_logits && sequence.logits_planned < sequence.prompt_len);
  int hit_blocks = 0;
  if (!forks && !bypass) {
    // At least one token is computed, for its logits.
    const int most = (sequence.length() - 1) / options_.layout.block_tokens;
    cache_.extend_keys(sequence.keys, sequence.tokens(), sequence.media);
    hit_blocks = cache_.match(sequence.keys, sequence.tokens(), most);
  }
  if (!blocks_suffice(sequence, forks, hit_blocks)) return false;

  sequence.planned = hit_blocks * options_.layout.block_tokens;
  sequence.published = hit_blocks;
  if (forks) {
    sequence.planned = sequence.prompt_len - 1;
    sequence.published = sequence.planned / options_.layout.block_tokens;
    sequence.tables.fork(leader->tables, sequence.planned, pool_, plan.copies);
  } else {
    sequence.tables.adopt(cache_, sequence.keys, sequence.tokens(), hit_blocks, pool_);
  }
  sequence.published_ever = std::max(sequence.published_ever, sequence.published);
  totals_.prefix_query_tokens += sequence.length();
  totals_.prefix_hit_tokens += sequence.planned;
  start_running(sequence, plan);
  return true;
}

// Room for the whole prompt beside what running prompts still take and a reserve; when nothing
// runs, room for one token, since add() made sure that the sequence fits alone.
bool Scheduler::blocks_suffice(const Sequence& sequence, bool forks, int hit_blocks) const {
  const int groups = options_.layout.num_groups();
  int revived = 0;
  const int position = hit_blocks * options_.layout.block_tokens;
  for (int g = 0; g < groups; ++g) {
    int i = first_block_read(options_.layout.groups[g], position, options_.layout.block_tokens);
    for (; i < hit_blocks; ++i) {
      revived += pool_.is_cached_idle(cache_.block(sequence.keys, sequence.tokens(), i, g));
    }
  }
  if (running_.empty()) return revived + groups <= pool_.available();
  const int needed = forks ? groups : revived + future_blocks(hit_blocks, sequence.length());
  const double reserve = options_.admission_reserve * pool_.num_blocks();
  return needed + promised_blocks_ + reserve <= pool_.available();
}

// Blocks that a prompt of `tokens` tokens will take when its tables end at block `have`. A window
// group frees some on the way: a step's chunk and the window before it are the most it holds.
int Scheduler::future_blocks(int have, int tokens) const {
  const int block_tokens = options_.layout.block_tokens;
  const int all = std::max(0, blocks_for(tokens, block_tokens) - have);
  int blocks = 0;
  for (const KvGroupSpec& group : options_.layout.groups) {
    if (group.kind == KvGroupKind::kRecurrent) {
      blocks += have == 0;
    } else if (group.kind == KvGroupKind::kWindow) {
      blocks += std::min(all, (group.window + budget_.max_step_tokens()) / block_tokens + 1);
    } else {
      blocks += all;
    }
  }
  return blocks;
}

void Scheduler::start_running(Sequence& sequence, StepPlan& plan) {
  dequeue(sequence);
  if (sequence.fork_leader != 0) {
    std::erase(find(sequence.fork_leader)->followers, sequence.id);
    sequence.fork_leader = 0;
  }
  sequence.slot = free_slots_.back();
  free_slots_.pop_back();
  sequence.adapter_slot = adapters_.acquire(sequence.adapter, plan.adapter_loads);
  encoder_tokens_free_ -= sequence.encoder_tokens;
  sequence.holds_encoder_tokens = true;
  sequence.phase = Phase::kPrefill;
  sequence.prefill_end = sequence.length();
  sequence.planned_before = sequence.planned;
  sequence.starts_slot = true;
  const auto place = std::upper_bound(
      running_.begin(), running_.end(), &sequence, [](const Sequence* a, const Sequence* b) {
        return std::pair(a->rank, a->arrival) < std::pair(b->rank, b->arrival);
      });
  const size_t rows = prefill_rows_.size();
  const auto inserted = running_.insert(place, &sequence);
  plan_prefill(static_cast<size_t>(inserted - running_.begin()));
  CHECK(prefill_rows_.size() == rows + 1, "sequence {} was admitted without room for a token",
        sequence.id);
}

void Scheduler::emit(StepPlan& plan) {
  if (decode_rows_.empty() && prefill_rows_.empty()) return;
  plan.step = ++last_step_;
  pool_.launched(plan.step);
  plan.num_decode_rows = static_cast<int32_t>(decode_rows_.size());
  if (num_inflight_ == inflight_.size()) inflight_.emplace_back();
  StepRecord& record = inflight_[num_inflight_++];
  record.step = plan.step;
  record.rows.clear();
  for (const std::vector<PlannedRow>* rows : {&decode_rows_, &prefill_rows_}) {
    for (const PlannedRow& planned : *rows) {
      const Sequence& sequence = *planned.sequence;
      PlanRow row = planned.row;
      if (row.is_prefill()) {
        row.token_offset = static_cast<int32_t>(plan.tokens.size());
        const auto first = sequence.tokens().begin() + row.first_position;
        plan.tokens.insert(plan.tokens.end(), first, first + row.num_tokens);
      }
      plan.total_tokens += row.num_tokens;
      plan.rows.push_back(row);
      sequence.tables.append_to(plan);
      record.rows.push_back({sequence.id, planned.max_new,
                             row.is_prefill() && sequence.phase == Phase::kDecode});
    }
  }
}

}  // namespace lmdeploy
