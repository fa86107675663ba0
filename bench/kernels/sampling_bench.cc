// Sampling over real vocabulary sizes: SmolLM2 (49152) and Gemma 3 (262144), 1 and 16 rows. The
// logits are normal with standard deviation 3 and are restored before each call, outside the time.
#include "kernels/sampling.h"

#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

namespace lmdeploy {
namespace {

void run(benchmark::State& state, SamplingRow row) {
  const int64_t vocab = state.range(0), count = state.range(1);
  CpuStream stream(0, CpuIsa::from_environment().value());
  Arena arena(Device{});
  Ctx ctx{stream, arena};
  Tensor source(Shape{count, vocab}, DType::kF32), logits(Shape{count, vocab}, DType::kF32);
  for (int64_t i = 0; i < count * vocab; ++i) {
    source.data<float>()[i] = static_cast<float>(3 * hash_normal(1, static_cast<uint64_t>(i)));
  }
  std::vector<SamplingRow> rows(static_cast<size_t>(count), row);
  std::vector<SampledToken> out(rows.size());
  for (auto _ : state) {
    std::memcpy(logits.view().raw(), source.view().raw(), source.bytes());
    for (SamplingRow& r : rows) ++r.position;
    const double start = monotonic_seconds();
    sample(ctx, logits, rows, out);
    state.SetIterationTime(monotonic_seconds() - start);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetLabel(stream.isa().name() + " x" + std::to_string(stream.pool().size()));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{49152, 262144}, {1, 16}})->Unit(benchmark::kMicrosecond)->UseManualTime();
}

BENCHMARK_CAPTURE(run, greedy, SamplingRow{.greedy = true})->Apply(sizes);
BENCHMARK_CAPTURE(run, top_k_40_top_p_08, SamplingRow{.top_k = 40, .top_p = 0.8f})->Apply(sizes);
BENCHMARK_CAPTURE(run, top_p_095, SamplingRow{.top_p = 0.95f})->Apply(sizes);
BENCHMARK_CAPTURE(run, temperature_alone, SamplingRow{.temperature = 0.8f})->Apply(sizes);
BENCHMARK_CAPTURE(run, greedy_logprobs_5, SamplingRow{.greedy = true, .logprobs = 5})->Apply(sizes);

}  // namespace
}  // namespace lmdeploy

BENCHMARK_MAIN();
