// paged_attention of one layer with SmolLM2's heads (9 over 3, head_dim 64) and Llama 3 8B's (32
// over 8, head_dim 128), f16 and bf16 pages. Decode prints GB/s of K and V read, prefill GFLOP/s (causal
// half).
#include "kernels/attention.h"

#include <benchmark/benchmark.h>

#include "base/random.h"

namespace lmdeploy {
namespace {

struct Heads {
  int query, kv, dim;
};

// B sequences of `context` tokens, the last `queries` of which are computed.
void run(benchmark::State& state, Heads heads, DType type) {
  const int64_t batch = state.range(0), queries = state.range(1), context = state.range(2);
  constexpr int kBlock = 64;
  const int64_t blocks = (context + kBlock - 1) / kBlock;
  CpuStream stream(0, CpuIsa::from_environment().value());
  Arena arena(Device{});
  Ctx ctx{stream, arena};
  PagedKv kv{.page_bytes = size_t{2} * 2 * static_cast<size_t>(heads.kv * heads.dim) * kBlock,
             .block_tokens = kBlock,
             .kv_heads = heads.kv,
             .head_dim = heads.dim,
             .dtype = type};
  Tensor pages(Shape{batch * blocks * static_cast<int64_t>(kv.page_bytes) / 2}, type);
  for (int64_t i = 0; i < pages.shape().numel(); ++i) {
    const float value =
        static_cast<float>(hash_random(1, static_cast<uint64_t>(i)) % 2048) / 1024 - 1;
    reinterpret_cast<uint16_t*>(pages.data<std::byte>())[i] = type == DType::kF16 ? to_f16(value).bits : to_bf16(value).bits;
  }
  kv.pages = pages.data<std::byte>();
  Tensor table(Shape{batch, blocks}, DType::kI32), start(Shape{batch + 1}, DType::kI32),
      length(Shape{batch}, DType::kI32);
  for (int64_t i = 0; i < batch * blocks; ++i) table.data<int32_t>()[i] = static_cast<int32_t>(i);
  for (int64_t b = 0; b < batch; ++b) {
    start.data<int32_t>()[b + 1] = static_cast<int32_t>((b + 1) * queries);
    length.data<int32_t>()[b] = static_cast<int32_t>(context);
  }
  const int64_t columns = int64_t{heads.query} * heads.dim;
  Tensor q(Shape{batch * queries, columns}, DType::kF32),
      out(Shape{batch * queries, columns}, DType::kF32);
  for (int64_t i = 0; i < q.shape().numel(); ++i)
    q.data<float>()[i] = static_cast<float>(hash_normal(2, static_cast<uint64_t>(i)));
  const AttentionBatch geometry{.query_start = start,
                                .kv_len = length,
                                .block_table = table,
                                .max_query_len = static_cast<int>(queries),
                                .max_kv_len = static_cast<int>(context)};
  const AttentionParams params{.heads = heads.query, .scale = 0.3f};
  for (auto _ : state) paged_attention(ctx, q, kv, geometry, params, out);
  const double calls = static_cast<double>(state.iterations());
  const double seen = static_cast<double>(batch * queries) *
                      (static_cast<double>(context) - static_cast<double>(queries - 1) / 2);
  state.counters["GFLOP/s"] = benchmark::Counter(calls * seen * 4e-9 * static_cast<double>(columns),
                                                 benchmark::Counter::kIsRate);
  state.counters["GB/s"] =
      benchmark::Counter(calls * static_cast<double>(batch * context) * 4e-9 * heads.kv * heads.dim,
                         benchmark::Counter::kIsRate);
  state.SetLabel(stream.isa().name() + " x" + std::to_string(stream.pool().size()));
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"batch", "queries", "context"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (int context : {64, 512, 4096}) bench->Args({1, 1, context});
  bench->Args({16, 1, 256})->Args({1, 512, 512})->Args({1, 512, 4096});
}

BENCHMARK_CAPTURE(run, smollm2_f16, Heads{9, 3, 64}, DType::kF16)->Apply(shapes);
BENCHMARK_CAPTURE(run, smollm2_bf16, Heads{9, 3, 64}, DType::kBF16)->Apply(shapes);
BENCHMARK_CAPTURE(run, llama3_8b_f16, Heads{32, 8, 128}, DType::kF16)->Apply(shapes);
BENCHMARK_CAPTURE(run, llama3_8b_bf16, Heads{32, 8, 128}, DType::kBF16)->Apply(shapes);

}  // namespace
}  // namespace lmdeploy

BENCHMARK_MAIN();
