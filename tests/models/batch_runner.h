// BatchRunner: drives a CausalLm step by step as the engine would, without the engine: pages from a
// shuffled list, freed pages and scratch memory full of NaN.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "models/causal_lm.h"

namespace lmdeploy {

// The next tokens of one sequence.
struct Feed {
  int sequence = 0;
  std::vector<int32_t> tokens;
  bool wants_logits = true;
};

class BatchRunner {
 public:
  struct Options {
    DType kv_dtype = DType::kF32;
    int block_tokens = 32;
    int num_blocks = 256;
    uint64_t shuffle_seed = 1;
    bool batch_invariant = false;
    bool last_rows = false;  // the logits of each feed's last token alone, as a prompt wants them
    Communicator* ranks = nullptr;
  };

  BatchRunner(CausalLm& model, Stream& stream, Options options);

  // Length that fixes the sequence's rotation; without it, the length of its first feed.
  void set_rope_len(int sequence, int length) { sequences_[sequence].rope_len = length; }

  // One forward. Returns the logits of every token fed (or last one), in order: [R][vocab].
  std::vector<std::vector<float>> step(std::span<const Feed> feeds);
  // The same for one sequence.
  std::vector<std::vector<float>> step(int sequence, std::vector<int32_t> tokens);
  // Prefills in chunks of at most `chunk` tokens (0: all at once); with last_rows only the last chunk
  // wants logits.
  std::vector<std::vector<float>> prefill(int sequence, std::span<const int32_t> tokens,
                                          int chunk = 0);
  // Greedy continuation of the sequence from these last logits.
  std::vector<int32_t> greedy(int sequence, std::vector<float> logits, int count);

 private:
  struct SequenceState {
    int length = 0;
    int rope_len = 0;
    std::vector<std::vector<int32_t>> pages;  // [group][logical block], -1: freed
  };

  void grow(SequenceState& sequence, int length);
  void free_behind_windows(SequenceState& sequence);

  CausalLm& model_;
  Arena scratch_;
  Ctx ctx_;
  KvCache kv_;
  const bool last_rows_;
  std::vector<int32_t> free_;
  std::map<int, SequenceState> sequences_;
};

// Index of the largest value; the lowest of several.
int32_t arg_max(std::span<const float> values);

}  // namespace lmdeploy
