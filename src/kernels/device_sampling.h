// Sampling on the device, without waiting: what kernels/sampling.h does, for rows whose last token
// the host may not know yet. The results stay on the device, where they feed the next step; the
// host downloads them when it likes. CUDA alone (the CPU engine has sample()).
//
// Each sequence has a slot of a SamplingTable: its last token, and, for the penalties, how often
// each token occurred. A step uploads a SamplingBatch: one DeviceSamplingRow a row, and their lists
// (bias, banned tokens, grammar masks, the counts a slot begins with) in one array of words.
//
// Semantics are those of kernels/sampling.h and of the plain CPU sampler: the order of the filters,
// ties (lower id first), draws in id order from the same uniform. A row's token depends neither on
// its company nor on the run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ctx.h"
#include "kernels/device_sampling_row.h"
#include "kernels/sampling.h"

namespace lmdeploy {

// Device memory that belongs to the slots of an engine. Used in the order of one stream.
class SamplingTable {
 public:
  static constexpr int64_t kMostTokens = 524288;  // of a vocabulary: 1024 blocks of 512 tokens

  // Zeroed. 2 bytes for each slot and token of the vocabulary.
  SamplingTable(Device device, int slots, int64_t vocab);
  static size_t bytes(int slots, int64_t vocab);

  int slots() const { return static_cast<int>(last_token_.shape()[0]); }
  // i32 [slots]: the token that each slot drew last, -1 where it had no finite logit.
  TensorView last_token() const { return last_token_; }
  // i16 [slots, at least vocab], bits: 15 = occurs in the prompt, 14..0 = occurrences in the
  // generated text, at most 32767.
  TensorView counts() const { return counts_; }

 private:
  Tensor last_token_, counts_;
};

// Which kernels a batch of rows needs. A captured sampler is for one set; more than the rows need
// is correct too.
struct SamplingFeatures {
  bool edits = false;     // penalties, bias, banned tokens or masks
  bool logprobs = false;  // of the chosen token or of the most likely ones
  bool nucleus = false;   // top-p without top-k

  int bits() const { return (edits ? 1 : 0) + (logprobs ? 2 : 0) + (nucleus ? 4 : 0); }
};

// Bans `token` if the slot's last token is `after`: the end of a bad phrase whose other tokens the
// host has seen.
struct ConditionalBan {
  int32_t token;
  int32_t after;
};

// The upload of one step, built on the host. Keeps its memory from step to step.
class SamplingBatch {
 public:
  explicit SamplingBatch(int64_t vocab) : vocab_(vocab) {}
  void clear();
  // `row.seen` is read only where `first_token` says that the slot begins (its prompt, and what was
  // generated before a preemption); after that the device counts. A row with penalties needs a
  // slot. `row.bias` has each token once.
  void add(const SamplingRow& row, int slot, bool first_token,
           std::span<const ConditionalBan> conditional = {});
  void pad(size_t rows);  // appends padding rows until there are that many

  std::span<const DeviceSamplingRow> rows() const { return rows_; }
  std::span<const uint32_t> words() const { return words_; }
  SamplingFeatures features() const { return features_; }

 private:
  SamplingList append_seen(std::span<const TokenCount> seen);
  SamplingList append_bias(std::span<const TokenBias> bias);
  SamplingList append_banned(std::span<const int32_t> banned,
                             std::span<const ConditionalBan> conditional);

  int64_t vocab_;
  std::vector<DeviceSamplingRow> rows_;
  std::vector<uint32_t> words_;
  SamplingFeatures features_;
};

// Where the upload lies on the device.
struct DeviceSamplingRows {
  const DeviceSamplingRow* rows = nullptr;
  const uint32_t* words = nullptr;
  SamplingFeatures features;
};

// Draws a token for each of the R rows, writes out[r] (`top` only up to top_count), the slots' last
// tokens and counts. logits f32 [R, V], changed in place where features.edits; V at most 524288. A
// slot occurs in one row of a call at most. `out` is device memory.
void device_sample(Ctx& ctx, const TensorView& logits, const DeviceSamplingRows& rows,
                   const SamplingTable& table, SampledToken* out);

// Scores given tokens: out[r].token = targets[r], its log-softmax, and the `logprobs` (0..20) most
// likely tokens of the row. logits f32 [R, V] unchanged, targets i32 [R]; where a target is not in
// [0, V) out[r].logprob is 0. `out` is device memory.
void device_score(Ctx& ctx, const TensorView& logits, const TensorView& targets, int32_t logprobs,
                  SampledToken* out);

}  // namespace lmdeploy
