#include "kernels/device_sampling.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/device_sampling.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

// Rows of counts begin at multiples of 16 bytes.
int64_t counts_stride(int64_t vocab) { return (vocab + 7) / 8 * 8; }

uint32_t word(int32_t x) { return static_cast<uint32_t>(x); }

bool has_penalties(const SamplingRow& row) {
  return row.repetition_penalty != 1.0f || row.presence_penalty != 0.0f ||
         row.frequency_penalty != 0.0f;
}

DeviceSamplingRow device_row(const SamplingRow& row, int slot) {
  DeviceSamplingRow out;
  out.flags = DeviceSamplingRow::kActive;
  // Below any useful temperature 1 / temperature overflows.
  if (row.greedy || !(row.temperature > 1e-6f)) out.flags |= DeviceSamplingRow::kGreedy;
  out.slot = slot;
  out.seed = row.seed;
  out.position = row.position;
  out.temperature = row.temperature;
  out.top_k = row.top_k;
  out.top_p = row.top_p;
  out.min_p = row.min_p;
  out.repetition_penalty = row.repetition_penalty;
  out.presence_penalty = row.presence_penalty;
  out.frequency_penalty = row.frequency_penalty;
  out.logprobs = row.logprobs;
  return out;
}

}  // namespace

SamplingTable::SamplingTable(Device device, int slots, int64_t vocab)
    : last_token_(Shape{slots}, DType::kI32, device),
      counts_(Shape{slots, counts_stride(vocab)}, DType::kI16, device) {}

size_t SamplingTable::bytes(int slots, int64_t vocab) {
  return static_cast<size_t>(slots) *
         (sizeof(int32_t) + static_cast<size_t>(counts_stride(vocab)) * sizeof(int16_t));
}

void SamplingBatch::clear() {
  rows_.clear();
  words_.clear();
  features_ = {};
}

void SamplingBatch::add(const SamplingRow& row, int slot, bool first_token,
                        std::span<const ConditionalBan> conditional) {
  CHECK(row.logprobs <= kMaxLogprobs, "sampling: slot {} asks for {} logprobs; at most {}", slot,
        row.logprobs, kMaxLogprobs);
  DeviceSamplingRow& out = rows_.emplace_back(device_row(row, slot));
  if (has_penalties(row)) {
    CHECK(slot >= 0, "sampling: a row with penalties has no slot");
    out.flags |= DeviceSamplingRow::kPenalties;
    if (first_token) {
      out.flags |= DeviceSamplingRow::kFirstToken;
      out.seen = append_seen(row.seen);
    }
  }
  out.bias = append_bias(row.bias);
  out.banned = append_banned(row.banned, conditional);
  if (!row.allowed_mask.empty()) {
    CHECK(static_cast<int64_t>(row.allowed_mask.size()) * 32 >= vocab_,
          "sampling: slot {} has an allowed_mask of {} words; expected {} for {} tokens", slot,
          row.allowed_mask.size(), (vocab_ + 31) / 32, vocab_);
    out.flags |= DeviceSamplingRow::kMasked;
    out.mask = static_cast<uint32_t>(words_.size());
    words_.insert(words_.end(), row.allowed_mask.begin(), row.allowed_mask.end());
  }
  constexpr uint32_t kEdits = DeviceSamplingRow::kPenalties | DeviceSamplingRow::kMasked;
  features_.edits |= (out.flags & kEdits) != 0 || out.bias.count > 0 || out.banned.count > 0;
  features_.logprobs |= row.logprobs >= 0;
  features_.nucleus |= row.top_p < 1 && (row.top_k <= 0 || row.top_k >= vocab_);
}

void SamplingBatch::pad(size_t rows) {
  if (rows > rows_.size()) rows_.resize(rows);
}

SamplingList SamplingBatch::append_seen(std::span<const TokenCount> seen) {
  const SamplingList list{static_cast<uint32_t>(words_.size()), static_cast<uint32_t>(seen.size())};
  for (const TokenCount& entry : seen) {
    const uint32_t in_prompt = entry.in_prompt > 0 ? 0x8000u : 0u;
    words_.push_back(word(entry.token));
    words_.push_back(in_prompt | word(std::clamp(entry.generated, 0, 0x7FFF)));
  }
  return list;
}

SamplingList SamplingBatch::append_bias(std::span<const TokenBias> bias) {
  const SamplingList list{static_cast<uint32_t>(words_.size()), static_cast<uint32_t>(bias.size())};
  for (const TokenBias& entry : bias) {
    words_.push_back(word(entry.token));
    words_.push_back(std::bit_cast<uint32_t>(entry.bias));
  }
  return list;
}

SamplingList SamplingBatch::append_banned(std::span<const int32_t> banned,
                                          std::span<const ConditionalBan> conditional) {
  const SamplingList list{static_cast<uint32_t>(words_.size()),
                          static_cast<uint32_t>(banned.size() + conditional.size())};
  for (int32_t token : banned) {
    words_.push_back(word(token));
    words_.push_back(word(-1));
  }
  for (const ConditionalBan& ban : conditional) {
    words_.push_back(word(ban.token));
    words_.push_back(word(ban.after));
  }
  return list;
}

void device_sample(Ctx& ctx, const TensorView& logits, const DeviceSamplingRows& rows,
                   const SamplingTable& table, SampledToken* out) {
  check_view(ctx, "device_sample", "logits", logits, DType::kF32, {kAnySize, kAnySize});
  CHECK(logits.dim(1) > 0 && logits.dim(1) <= SamplingTable::kMostTokens && logits.dim(1) <= table.counts().dim(1),
        "device_sample: {} logits a row; the table has {}, at most {}", logits.dim(1),
        table.counts().dim(1), SamplingTable::kMostTokens);
  CHECK(!ctx.on_cpu(), "device_sample runs on CUDA; the CPU has sample()");
  cuda::device_sample(ctx, logits, rows, table, out);
}

void device_score(Ctx& ctx, const TensorView& logits, const TensorView& targets, int32_t logprobs,
                  SampledToken* out) {
  check_view(ctx, "device_score", "logits", logits, DType::kF32, {kAnySize, kAnySize});
  check_view(ctx, "device_score", "targets", targets, DType::kI32, {logits.dim(0)});
  CHECK(
      logits.dim(1) > 0 && logits.dim(1) <= SamplingTable::kMostTokens && logprobs >= 0 && logprobs <= kMaxLogprobs,
      "device_score: {} logprobs of {} logits a row; at most {} of {}", logprobs, logits.dim(1),
      kMaxLogprobs, SamplingTable::kMostTokens);
  CHECK(!ctx.on_cpu(), "device_score runs on CUDA; the CPU has token_logprobs()");
  cuda::device_score(ctx, logits, targets, logprobs, out);
}

}  // namespace lmdeploy
