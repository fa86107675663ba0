#include "nn/rotary_embedding.h"

#include "kernels/rope.h"
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

RotaryEmbedding::RotaryEmbedding(RopeConfig config)
    : config_(std::move(config)), frequencies_(Shape{1, config_.rotary_dim / 2}, DType::kF32) {
  fill(0, frequencies_.data<float>());
}

void RotaryEmbedding::declare_divisors(const Weights& root) {
  Load load;
  load.name = (root / "rope_freqs" / "weight").name();
  load.sources = {{load.name, Shape{config_.rotary_dim / 2}}};
  load.store = [this](std::span<const LoadedSlice> slices) {
    std::vector<float> divisors(static_cast<size_t>(config_.rotary_dim / 2));
    RETURN_IF_ERROR(copy_floats(slices[0], divisors.data()));
    RETURN_IF_ERROR(check_divisors(divisors));
    divisors_ = std::move(divisors);
    fill(0, frequencies_.data<float>());
    return Status();
  };
  load.absent = [] {};
  root.plan().add(std::move(load));
}

void RotaryEmbedding::fill(int64_t length, float* frequencies) const {
  const std::vector<float> values = rope_frequencies(config_, length);
  for (size_t i = 0; i < values.size(); ++i) {
    frequencies[i] = divisors_.empty() ? values[i] : values[i] / divisors_[i];
  }
}

TensorView RotaryEmbedding::cos_sin(Ctx& ctx, const Batch& batch) const {
  const TensorView out =
      ctx.scratch.allocate(Shape{batch.num_tokens, config_.rotary_dim}, DType::kF32);
  if (!by_length()) {
    rope_cos_sin(ctx, batch.positions, frequencies_, TensorView(), config_.attention_scale, out);
    return out;
  }
  CHECK(ctx.on_cpu(), "frequencies by sequence length are made on the host");
  ArenaScope scope(ctx.scratch);
  const TensorView rows = ctx.scratch.allocate(Shape{batch.num_tokens}, DType::kI32);
  const TensorView frequencies =
      ctx.scratch.allocate(Shape{batch.num_sequences, config_.rotary_dim / 2}, DType::kF32);
  const int32_t* start = batch.query_start.data<int32_t>();
  for (int32_t b = 0; b < batch.num_sequences; ++b) {
    fill(batch.rope_len.data<int32_t>()[b], frequencies.row<float>(b));
    std::fill(rows.data<int32_t>() + start[b], rows.data<int32_t>() + start[b + 1], b);
  }
  rope_cos_sin(ctx, batch.positions, frequencies, rows, config_.attention_scale, out);
  return out;
}

}  // namespace lmdeploy
