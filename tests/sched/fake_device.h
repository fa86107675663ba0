// A device that runs step plans on hashes instead of tensors: the KV content of a position is a hash
// of everything it depends on (who may share it, adapter, all tokens up to it), so that a wrong
// block table, an early reuse or a lost copy shows as a wrong hash in the row that reads it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "sched/block_pool.h"
#include "sched/step_plan.h"

namespace lmdeploy {

// What the device knows about a sequence besides the plan.
struct FakeRequest {
  std::vector<int32_t> prompt;
  uint64_t salt = 0;
  uint64_t adapter = 0;
  uint64_t seed = 0;       // differs between choices
  int draft_tokens = 0;
  bool prompt_logits = false;
};

struct FakeResult {
  SequenceId sequence = 0;
  std::vector<int32_t> tokens;
};

class FakeDevice {
 public:
  static constexpr int kVocabulary = 3;

  FakeDevice(const KvLayout& layout, int num_blocks, int num_slots, uint64_t seed)
      : layout_(layout), seed_(seed), blocks_(num_blocks), slots_(num_slots) {
    for (Block& block : blocks_) block.content.assign(layout.block_tokens, kPoison);
  }

  void know(SequenceId id, FakeRequest request) { requests_[id] = std::move(request); }

  // The token that follows `prefix`, whoever computes it and however.
  static int32_t next_token(const FakeRequest& request, uint64_t prefix_hash) {
    return static_cast<int32_t>(mix64(prefix_hash ^ mix64(request.seed)) % kVocabulary);
  }
  static uint64_t root(const FakeRequest& r) { return mix64(r.salt) ^ mix64(~r.adapter); }
  static uint64_t extend(uint64_t hash, int32_t token) {
    return mix64(hash ^ (static_cast<uint64_t>(token) + 0x1234567));
  }

  // Runs a step; an empty string or what was wrong with it.
  std::string run(const StepPlan& plan, const BlockPool& pool, std::vector<FakeResult>& results);
  void retire(StepId step) { retired_ = step; }

  int64_t num_copies() const { return num_copies_; }

 private:
  static constexpr uint64_t kPoison = 0xDEADDEADDEADDEADull;
  struct Block {
    std::vector<uint64_t> content;  // [block_tokens]; recurrent: [0] is the state
    StepId last_named = 0;
  };
  struct Slot {
    SequenceId sequence = 0;
    std::vector<int32_t> tokens;    // all so far
    std::vector<uint64_t> hashes;   // [tokens]
    std::vector<std::map<int, BlockId>> tables;  // [groups] index -> block of the last row
  };

  void push(Slot& slot, const FakeRequest& request, int32_t token) {
    slot.hashes.push_back(extend(slot.hashes.empty() ? root(request) : slot.hashes.back(), token));
    slot.tokens.push_back(token);
  }
  std::string take_fresh(BlockId id);
  std::string update_tables(const StepPlan& plan, size_t row, Slot& slot);
  std::string read(const Slot& slot, int first);
  std::string write(const Slot& slot, int position, uint64_t hash, const BlockPool& pool);
  std::string run_prefill(const StepPlan& plan, size_t row, const BlockPool& pool,
                          FakeResult& result);
  std::string run_decode(const StepPlan& plan, size_t row, const BlockPool& pool,
                         FakeResult& result);
  bool recurrent(int g) const { return layout_.groups[g].kind == KvGroupKind::kRecurrent; }

  KvLayout layout_;
  uint64_t seed_;
  std::vector<Block> blocks_;
  std::vector<Slot> slots_;
  std::unordered_map<SequenceId, FakeRequest> requests_;
  std::vector<BlockId> copied_to_;
  StepId retired_ = 0;
  int64_t num_copies_ = 0;
};

}  // namespace lmdeploy
