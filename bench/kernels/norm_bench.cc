// The light ops around the matmuls, at SmolLM2's sizes (hidden 576, intermediate 1536, 9 + 2 x 3
// heads of 64): one decode row and a prefill of 512.
#include <benchmark/benchmark.h>

#include "base/random.h"
#include "kernels/attention_input.h"
#include "kernels/gated_activation.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"

namespace lmdeploy {
namespace {

struct Run {
  CpuStream stream{0, CpuIsa::from_environment().value()};
  Arena arena{Device{}};
  Ctx ctx{stream, arena};
};

Tensor normal(Shape shape) {
  Tensor x(shape, DType::kF32);
  for (int64_t i = 0; i < shape.numel(); ++i)
    x.data<float>()[i] = static_cast<float>(hash_normal(1, static_cast<uint64_t>(i)));
  return x;
}

void add_norm(benchmark::State& state) {
  Run run;
  const int64_t rows = state.range(0);
  const Tensor residual = normal({rows, 576}), delta({rows, 576}, DType::kF32),
               weight = normal({576});
  for (auto _ : state) add_rms_norm(run.ctx, residual, delta, weight, 1e-5f, delta);
}
BENCHMARK(add_norm)->Arg(1)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();

void silu(benchmark::State& state) {
  Run run;
  const int64_t rows = state.range(0);
  const Tensor gate_up = normal({rows, 3072});
  Tensor out({rows, 1536}, DType::kF32);
  for (auto _ : state) gated_activation(run.ctx, gate_up, Activation::kSilu, out);
}
BENCHMARK(silu)->Arg(1)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();

void cos_sin(benchmark::State& state) {
  Run run;
  const int64_t rows = state.range(0);
  Tensor positions({rows}, DType::kI32), out({rows, 64}, DType::kF32);
  const Tensor inv_freq = normal({1, 32});
  for (int64_t t = 0; t < rows; ++t) positions.data<int32_t>()[t] = static_cast<int32_t>(t);
  for (auto _ : state) rope_cos_sin(run.ctx, positions, inv_freq, {}, 1.0f, out);
}
BENCHMARK(cos_sin)->Arg(1)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();

void rope_and_store(benchmark::State& state) {
  Run run;
  const int64_t rows = state.range(0);
  const Tensor qkv = normal({rows, 15 * 64});
  Tensor cos_sin({rows, 64}, DType::kF32), slots({rows}, DType::kI64),
      pages({8 * 2 * 3 * 64 * 64}, DType::kF16);
  for (int64_t t = 0; t < rows; ++t) {
    slots.data<int64_t>()[t] = t;
    for (int i = 0; i < 32; ++i) cos_sin.view().row<float>(t)[i] = 1;
  }
  const PagedKv kv{.pages = pages.data<std::byte>(),
                   .page_bytes = 2 * 2 * 3 * 64 * 64,
                   .block_tokens = 64,
                   .kv_heads = 3,
                   .head_dim = 64,
                   .dtype = DType::kF16};
  const AttentionInputParams params{.heads = 9, .kv_heads = 3, .head_dim = 64, .cos_sin = cos_sin};
  for (auto _ : state) attention_input(run.ctx, qkv, params, slots, kv);
}
BENCHMARK(rope_and_store)->Arg(1)->Arg(512)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace lmdeploy

BENCHMARK_MAIN();
