#include "nn/rotary_embedding.h"

#include "kernels/rope.h"
#include "kernels/rope_frequencies.h"
#include "nn/float_load.h"

namespace lmdeploy {
namespace {

Status check_divisors(const std::vector<float>& divisors) {
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (divisors[i] >= kLeastRopeFactor && divisors[i] <= kLargestRopeFactor) continue;
    return data_loss("element {} is {}; expected divisors of the frequencies from {} to {}", i,
                     divisors[i], kLeastRopeFactor, kLargestRopeFactor);
  }
  return {};
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(RopeConfig config, const BuildOptions& options)
    : config_(std::move(config)) {
  make_frequencies(options);
}

void RotaryEmbedding::declare_divisors(const Weights& root, const BuildOptions& options) {
  Load load;
  load.name = (root / "rope_freqs" / "weight").name();
  load.sources = {{load.name, Shape{config_.rotary_dim / 2}}};
  load.store = [this, options](std::span<const LoadedSlice> slices) {
    std::vector<float> divisors(static_cast<size_t>(config_.rotary_dim / 2));
    RETURN_IF_ERROR(copy_floats(slices[0], divisors.data()));
    RETURN_IF_ERROR(check_divisors(divisors));
    divisors_ = std::move(divisors);
    make_frequencies(options);
    return Status();
  };
  load.absent = [] {};
  root.plan().add(std::move(load));
}

void RotaryEmbedding::make_frequencies(const BuildOptions& options) {
  frequencies_ = frequencies_for(0, options);
  if (!config_.by_length()) return;
  const bool longrope = config_.type == RopeType::kLongrope;
  limit_ = config_.type == RopeType::kDynamic ? config_.max_position : config_.original_max_position;
  if (longrope) beyond_ = frequencies_for(limit_ + 1, options);
}

Tensor RotaryEmbedding::frequencies_for(int64_t length, const BuildOptions& options) const {
  std::vector<float> values = rope_frequencies(config_, length);
  for (size_t i = 0; i < divisors_.size(); ++i) values[i] /= divisors_[i];
  return float_tensor(values, Shape{1, static_cast<int64_t>(values.size())}, options);
}

TensorView RotaryEmbedding::cos_sin(Ctx& ctx, const Batch& batch) const {
  const TensorView out =
      ctx.scratch.allocate(Shape{batch.num_tokens, config_.rotary_dim}, DType::kF32);
  if (!config_.by_length()) {
    rope_cos_sin(ctx, batch.positions, frequencies_, TensorView(), config_.attention_scale, out);
    return out;
  }
  ArenaScope scope(ctx.scratch);
  const TensorView frequencies =
      ctx.scratch.allocate(Shape{batch.num_sequences, config_.rotary_dim / 2}, DType::kF32);
  const bool by_doublings = config_.type == RopeType::kDoublings;
  rope_frequencies(ctx, batch.rope_len, {limit_, frequencies_, beyond_, config_.factor, by_doublings},
                   frequencies);
  rope_cos_sin(ctx, batch.positions, frequencies, batch.token_rows, config_.attention_scale, out);
  return out;
}

}  // namespace lmdeploy
