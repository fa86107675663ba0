// Latent attention (MLA) on a GPU beside the device's limits: the products a head that bring queries
// into the latents' space and results back, decode over a latent cache (GB/s of the cache, read once),
// and prefill over latents and over expanded keys and values (TFLOP/s).
//   latent_cuda_bench [heads|decode|prefill|expanded]      (all without)
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "graph_timer.h"
#include "kernels/expanded_attention.h"
#include "kernels/matmul.h"
#include "kernels/matmul_heads.h"
#include "kernels/random_normal.h"
#include "upload.h"

namespace lmdeploy {
namespace {

constexpr double kFlops = 778e12;
constexpr int kBlockTokens = 64;
// DeepSeek V2 and V3.
constexpr int kLatent = 512, kRope = 64, kNope = 128, kValue = 128, kHeadDim = kLatent + kRope;

class Bench {
 public:
  Bench() : stream_(make_stream(kGpu, 0, {}).value()), arena_(kGpu) {}

  // A matrix [n, k] a head.
  void products(const char* name, int heads, int64_t n, int64_t k, int64_t x_step, int64_t out_step) {
    const double weight_bytes = 2.0 * heads * static_cast<double>(n * k);
    const int copies = copies_beyond_l2(weight_bytes);
    std::vector<HeadMatrices> weights;
    for (int i = 0; i < copies; ++i) {
      weights.push_back({heads, n, k, {}});
      weights.back().parts.push_back(row_major_matrix(random(Shape{heads * n, k}, 0.02f)));
    }
    for (int64_t rows : {1, 8, 16, 64, 256, 1024, 4096}) {
      const Tensor x = random(Shape{rows, heads * x_step}, 1);
      const Tensor out(Shape{rows, heads * out_step}, DType::kBF16, kGpu);
      const double seconds = time_in_graph(*stream_, copies, [&](int i) {
        Ctx ctx{*stream_, arena_};
        matmul_heads(ctx, x, x_step, weights[static_cast<size_t>(i)], out, out_step);
      });
      const double rows_bytes = 2.0 * static_cast<double>(rows) * heads * static_cast<double>(n + k);
      const double bytes = weight_bytes + rows_bytes;
      const double flop = 2.0 * static_cast<double>(rows) * heads * static_cast<double>(n * k);
      std::printf("%-9s %3d x [%3lld, %3lld]  T %5lld  %8.1f us  %5.0f GB/s (%3.0f%%)  %5.0f TFLOP/s\n",
                  name, heads, static_cast<long long>(n), static_cast<long long>(k),
                  static_cast<long long>(rows), seconds * 1e6, bytes / seconds * 1e-9,
                  bytes / kReadBytesPerSecond / seconds * 100, flop / seconds * 1e-12);
    }
    std::fflush(stdout);
  }

  // Sequences with `queries` last tokens of `context`.
  void attention(int heads, int sequences, int queries, int context) {
    const Cache cache = make_cache(sequences, context);
    std::vector<int> starts;
    for (int b = 0; b <= sequences; ++b) starts.push_back(b * queries);
    const Tensor start = upload(starts),
                 length = upload(std::vector<int>(static_cast<size_t>(sequences), context));
    const Tensor q = random(Shape{int64_t{sequences} * queries, int64_t{heads} * kHeadDim}, 0.3f);
    const Tensor out(q.shape(), DType::kBF16, kGpu);
    const AttentionBatch batch{.query_start = start,
                               .kv_len = length,
                               .block_table = cache.table,
                               .max_query_len = queries,
                               .max_kv_len = context};
    const AttentionParams params{.heads = heads, .scale = 1 / std::sqrt(192.0f)};
    const double seconds = time_in_graph(*stream_, queries > 1 ? 2 : std::max(cache.layers, 2), [&](int i) {
      Ctx ctx{*stream_, arena_};
      paged_attention(ctx, q, cache.layer(i % cache.layers), batch, params, out);
    });
    print(heads, sequences, queries, context, seconds);
  }

  // A prompt over expanded keys and values; `with_product`: what expands them is in the time.
  void expanded(int heads, int tokens, bool with_product) {
    const int64_t columns = int64_t{heads} * kNope;
    const PackedMatrix weight =
        row_major_matrix(random(Shape{2 * columns, kLatent}, 1 / std::sqrt(512.0f)));
    const Tensor latent = random(Shape{tokens, kHeadDim}, 1), q = random(Shape{tokens, columns}, 1),
                 q_rope = random(Shape{tokens, int64_t{heads} * kHeadDim}, 1),
                 rows = random(Shape{tokens, 2 * columns}, 1);
    const Tensor out(q.shape(), DType::kBF16, kGpu);
    const Tensor start = upload({0, tokens}), length = upload(std::vector<int>{tokens});
    const ExpandedInputs in{.q_nope = q,
                            .q_rope = q_rope,
                            .rope_step = kHeadDim,
                            .keys = rows.view().columns(0, columns),
                            .k_rope = latent.view().columns(kLatent, kRope),
                            .values = rows.view().columns(columns, columns)};
    const ExpandedParams params{
        .heads = heads, .dims = {kNope, kRope, kValue}, .scale = 1 / std::sqrt(192.0f)};
    const double seconds = time_in_graph(*stream_, 4, [&](int) {
      Ctx ctx{*stream_, arena_};
      if (with_product) matmul(ctx, latent.view().columns(0, kLatent), weight, {}, rows);
      expanded_attention(ctx, in, {start, length, {}, tokens, tokens}, params, out);
    });
    const double flop = tokens * (tokens + 1.0) / 2 * heads * 2 * (kNope + kRope + kValue);
    std::printf("%3d heads %5d tokens expanded%-13s %9.1f us  %5.0f TFLOP/s (%3.0f%%) of attention\n",
                heads, tokens, with_product ? " with product" : "", seconds * 1e6,
                flop / seconds * 1e-12, flop / kFlops / seconds * 100);
    std::fflush(stdout);
  }

 private:
  struct Cache {
    Tensor memory, table;
    PagedKv kv;
    int layers = 1;

    PagedKv layer(int i) const {
      PagedKv of_layer = kv;
      of_layer.layer_offset = static_cast<size_t>(i) * kv.head_bytes();
      return of_layer;
    }
  };

  void print(int heads, int sequences, int queries, int context, double seconds) const {
    const double pairs = sequences * static_cast<double>(queries) *
                         (context - static_cast<double>(queries - 1) / 2);
    const double flop = pairs * heads * 2 * (kHeadDim + kLatent);
    std::printf("%3d heads %3d seq x %5d queries of %6d  %9.1f us  ", heads, sequences, queries,
                context, seconds * 1e6);
    if (queries == 1) {
      const double bytes = 2.0 * sequences * static_cast<double>(context) * kHeadDim;
      std::printf("%5.0f GB/s (%3.0f%%)  ", bytes / seconds * 1e-9,
                  bytes / kReadBytesPerSecond / seconds * 100);
    } else {
      const double expanded = pairs * heads * 2 * (kNope + kRope + kValue);
      std::printf("%5.0f TFLOP/s (%3.0f%%) of keys of %d and values of %d  ",
                  expanded / seconds * 1e-12, expanded / kFlops / seconds * 100, kNope + kRope,
                  kValue);
    }
    std::printf("%5.0f TFLOP/s (%3.0f%%) of latents\n", flop / seconds * 1e-12,
                flop / kFlops / seconds * 100);
    std::fflush(stdout);
  }

  Tensor random(Shape shape, float stddev) {
    Tensor tensor(shape, DType::kBF16, kGpu);
    Ctx ctx{*stream_, arena_};
    random_normal(ctx, {.key = ++key_, .row_elements = shape[1], .stddev = stddev}, tensor);
    return tensor;
  }

  // Pages in scattered order; layers that do not fit into the L2 cache together.
  Cache make_cache(int sequences, int context) {
    const int blocks = (context + kBlockTokens - 1) / kBlockTokens;
    const int64_t pages = int64_t{sequences} * blocks, of_layer = kBlockTokens * kHeadDim;
    Cache made;
    made.layers = copies_beyond_l2(2.0 * static_cast<double>(pages * of_layer));
    made.memory = random(Shape{pages * made.layers, of_layer}, 1);
    made.kv = {.pages = made.memory.data<std::byte>(),
               .page_bytes = static_cast<size_t>(made.layers * of_layer * 2),
               .block_tokens = kBlockTokens,
               .kv_heads = 1,
               .head_dim = kHeadDim,
               .latent_dim = kLatent,
               .dtype = DType::kBF16};
    Tensor table(Shape{sequences, blocks}, DType::kI32);
    for (int64_t i = 0; i < pages; ++i) {  // 7919 is prime: every page once
      table.data<int32_t>()[i] = static_cast<int32_t>(pages % 7919 == 0 ? i : i * 7919 % pages);
    }
    made.table = upload(table);
    return made;
  }

  std::unique_ptr<Stream> stream_;
  Arena arena_;
  uint64_t key_ = 0;
};

void run(std::string_view what) {
  Bench bench;
  const auto asked = [&](std::string_view name) { return what.empty() || what == name; };
  if (asked("heads")) {
    for (int heads : {16, 128}) {
      bench.products("key up", heads, kLatent, kNope, kNope, kHeadDim);
      bench.products("value up", heads, kValue, kLatent, kHeadDim, kValue);
    }
  }
  if (asked("decode")) {
    for (int heads : {16, 128}) {
      bench.attention(heads, 64, 1, 4096);
      for (int context : {512, 4096, 32768}) bench.attention(heads, 1, 1, context);
      bench.attention(heads, 8, 1, 16384);
    }
  }
  if (asked("prefill")) {
    for (int tokens : {1024, 4096, 8192}) bench.attention(16, 1, tokens, tokens);
    bench.attention(128, 1, 4096, 4096);
    bench.attention(16, 1, 2048, 16384);  // the end of a longer prompt
    bench.attention(16, 4, 512, 2048);
  }
  if (asked("expanded")) {
    for (bool with_product : {false, true}) {
      for (int tokens : {1024, 4096, 8192}) bench.expanded(16, tokens, with_product);
      bench.expanded(128, 4096, with_product);
    }
  }
}

}  // namespace
}  // namespace lmdeploy

int main(int argc, char** argv) {
  lmdeploy::run(argc > 1 ? argv[1] : "");
  return 0;
}
