#include "tests/sched/fake_device.h"

#include <fmt/format.h>

#include <algorithm>

namespace lmdeploy {

std::string FakeDevice::take_fresh(BlockId id) {
  Block& block = blocks_[id];
  if (block.last_named > retired_) {
    return fmt::format("block {} gets new content while step {} that names it has not retired", id,
                       block.last_named);
  }
  std::fill(block.content.begin(), block.content.end(), kPoison);
  return "";
}

// Blocks that are new in this sequence's tables are fresh, but for those a starting row got from
// the prefix cache or another choice.
std::string FakeDevice::update_tables(const StepPlan& plan, size_t row, Slot& slot) {
  const PlanRow& r = plan.rows[row];
  const bool starts = (r.flags & kRowStartsSlot) != 0;
  for (int g = 0; g < plan.num_groups; ++g) {
    const RowBlocks& list = plan.blocks_of(row, g);
    std::map<int, BlockId> table;
    for (int i = 0; i < list.count; ++i) {
      const int index = list.first_block + i;
      const BlockId id = plan.block_ids[list.offset + i];
      table[index] = id;
      const auto old = slot.tables[g].find(index);
      if (old != slot.tables[g].end()) {
        if (old->second != id) return fmt::format("block {} of group {} moved", index, g);
        continue;
      }
      const bool behind = recurrent(g) ? r.first_position > 0
                                       : index * layout_.block_tokens < r.first_position;
      const bool copied = std::count(copied_to_.begin(), copied_to_.end(), id) > 0;
      if (starts && behind) continue;  // hit, or a copy's target: checked by its content
      if (copied) return fmt::format("block {} is a copy nobody asked for", id);
      if (std::string error = take_fresh(id); !error.empty()) return error;
    }
    slot.tables[g] = std::move(table);
  }
  return "";
}

// A query at `first` reads exactly its own history in every group.
std::string FakeDevice::read(const Slot& slot, int first) {
  for (int g = 0; g < layout_.num_groups(); ++g) {
    if (recurrent(g)) {
      const uint64_t state = blocks_[slot.tables[g].at(0)].content[0];
      if (first > 0 && state != slot.hashes[first - 1]) {
        return fmt::format("the recurrent state before position {} is another prefix's", first);
      }
      continue;
    }
    const bool window = layout_.groups[g].kind == KvGroupKind::kWindow;
    for (int p = window ? std::max(0, first - layout_.groups[g].window + 1) : 0; p < first; ++p) {
      const auto block = slot.tables[g].find(p / layout_.block_tokens);
      if (block == slot.tables[g].end()) {
        return fmt::format("group {}: position {} is read from {} but has no block", g, p, first);
      }
      if (blocks_[block->second].content[p % layout_.block_tokens] != slot.hashes[p]) {
        return fmt::format("group {}: position {} (block {}) read from {} is not this history{}", g,
                           p, block->second, first,
                           blocks_[block->second].content[p % layout_.block_tokens] == kPoison
                               ? ": poison" : "");
      }
    }
  }
  return "";
}

std::string FakeDevice::write(const Slot& slot, int position, uint64_t hash,
                              const BlockPool& pool) {
  for (int g = 0; g < layout_.num_groups(); ++g) {
    const int index = recurrent(g) ? 0 : position / layout_.block_tokens;
    const auto block = slot.tables[g].find(index);
    if (block == slot.tables[g].end()) {
      return fmt::format("group {}: position {} is written but has no block", g, position);
    }
    if (pool.ref_count(block->second) != 1) {
      return fmt::format("block {} is written with {} holders", block->second,
                         pool.ref_count(block->second));
    }
    blocks_[block->second].content[recurrent(g) ? 0 : position % layout_.block_tokens] = hash;
  }
  return "";
}

std::string FakeDevice::run_prefill(const StepPlan& plan, size_t row, const BlockPool& pool,
                                    FakeResult& result) {
  const PlanRow& r = plan.rows[row];
  const FakeRequest& request = requests_.at(r.sequence);
  Slot& slot = slots_[r.slot];
  if (r.token_offset < 0 || r.token_offset + r.num_tokens > static_cast<int>(plan.tokens.size())) {
    return "a prefill row's tokens are not in the plan";
  }
  if (r.first_position + r.num_tokens != r.kv_length) return "kv_length is not behind the row";
  const int32_t* tokens = &plan.tokens[r.token_offset];
  // The history before the row: on a start it must be a prefix that the test knows, which the
  // trace checks through the final tokens; here only its hashes matter.
  if (static_cast<int>(slot.tokens.size()) < r.first_position) return "history is unknown";
  slot.tokens.resize(r.first_position);
  slot.hashes.resize(r.first_position);
  if (std::string error = read(slot, r.first_position); !error.empty()) return error;
  for (int i = 0; i < r.num_tokens; ++i) {
    push(slot, request, tokens[i]);
    if (std::string e = write(slot, r.first_position + i, slot.hashes.back(), pool); !e.empty()) {
      return e;
    }
  }
  if (r.samples()) {
    const int32_t token = next_token(request, slot.hashes.back());
    result.tokens.push_back(token);
    push(slot, request, token);
  }
  return "";
}

std::string FakeDevice::run_decode(const StepPlan& plan, size_t row, const BlockPool& pool,
                                   FakeResult& result) {
  const PlanRow& r = plan.rows[row];
  const FakeRequest& request = requests_.at(r.sequence);
  Slot& slot = slots_[r.slot];
  if (slot.sequence != r.sequence) return "a decode row on another sequence's slot";
  const int first = static_cast<int>(slot.tokens.size()) - 1;
  if (first > r.first_position || first + r.num_tokens > r.kv_length) {
    return fmt::format("the real position {} is behind the planned maximum {}", first,
                       r.first_position);
  }
  if (std::string error = read(slot, first); !error.empty()) return error;
  const uint64_t draw = hash_random(seed_, static_cast<uint64_t>(plan.step) * 1000 + row);
  // One in eight speculated rows accepts nothing, as when the sampler has to wait.
  const bool none = r.num_tokens > 1 && draw % 8 == 0;
  const int accepted = none ? 0 : 1 + static_cast<int>((draw >> 8) % r.num_tokens);
  uint64_t fed = slot.hashes.back();
  for (int i = 0; i < r.num_tokens; ++i) {
    if (std::string e = write(slot, first + i, fed, pool); !e.empty()) return e;
    const int32_t truth = next_token(request, fed);
    if (i < accepted) {
      result.tokens.push_back(truth);
      push(slot, request, truth);
    }
    // Drafts that are accepted were right; the others were wrong.
    fed = extend(fed, i + 1 < accepted ? truth : truth + 1);
  }
  return "";
}

std::string FakeDevice::run(const StepPlan& plan, const BlockPool& pool,
                            std::vector<FakeResult>& results) {
  copied_to_.clear();
  std::vector<std::vector<uint64_t>> sources;
  for (const BlockCopy& copy : plan.copies) sources.push_back(blocks_[copy.src].content);
  for (size_t i = 0; i < plan.copies.size(); ++i) {
    const BlockCopy& copy = plan.copies[i];
    if (std::string error = take_fresh(copy.dst); !error.empty()) return error;
    blocks_[copy.dst].content = sources[i];
    blocks_[copy.src].last_named = plan.step;
    copied_to_.push_back(copy.dst);
    ++num_copies_;
  }
  // All tables first: a block that one row drops in this step must not be another's new one.
  for (size_t row = 0; row < plan.rows.size(); ++row) {
    const PlanRow& r = plan.rows[row];
    Slot& slot = slots_[r.slot];
    if ((r.flags & kRowStartsSlot) != 0) {
      const FakeRequest& request = requests_.at(r.sequence);
      slot = {};
      slot.sequence = r.sequence;
      slot.tables.resize(plan.num_groups);
      // Everything before first_position is prompt or was generated: both are known functions.
      for (int32_t token : request.prompt) push(slot, request, token);
      while (static_cast<int>(slot.tokens.size()) < r.first_position) {
        push(slot, request, next_token(request, slot.hashes.back()));
      }
    }
    if (slot.sequence != r.sequence) return "a row on another sequence's slot";
    if (std::string error = update_tables(plan, row, slot); !error.empty()) return error;
  }
  for (BlockId id : plan.block_ids) blocks_[id].last_named = plan.step;
  // As on a device, no order between rows is promised: rows go backwards in every other step.
  results.assign(plan.rows.size(), {});
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const size_t row = plan.step % 2 == 0 ? i : plan.rows.size() - 1 - i;
    results[row].sequence = plan.rows[row].sequence;
    const std::string error = plan.rows[row].is_prefill()
                                  ? run_prefill(plan, row, pool, results[row])
                                  : run_decode(plan, row, pool, results[row]);
    if (!error.empty()) {
      return fmt::format("step {}, row {} (sequence {}): {}", plan.step, row,
                         plan.rows[row].sequence, error);
    }
  }
  return "";
}

}  // namespace lmdeploy
