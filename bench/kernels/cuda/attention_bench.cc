// paged_attention and attention_input on a GPU beside the device's limits: GB/s of K and V read by
// decode, TFLOP/s of prefill (4 * head_dim a visible (query, token) pair and head). Calls are
// replayed from a CUDA graph over layers that do not fit into the L2 cache together; the median of
// the replays is printed.
//
//   attention_cuda_bench [decode|prefill|input|all] [bf16|f16]
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string_view>

#include "graph_timer.h"
#include "kernels/attention_input.h"
#include "kernels/random_normal.h"
#include "tensor/cuda/stream.h"
#include "upload.h"

namespace lmdeploy {
namespace {

// H100 80GB, measured: docs/dev and issue 4.
constexpr double kReadBytesPerSecond = 2.99e12;
constexpr double kFlopPerSecond = 778e12;

constexpr int kBlockTokens = 64;

struct Heads {
  int query, kv, dim;
};

class Bench {
 public:
  explicit Bench(DType dtype)
      : stream_(make_stream(kGpu, 0, {}).value()), arena_(kGpu), dtype_(dtype) {}

  struct Options {
    int window = 0;
    bool batch_invariant = false;
    bool with_input = false;  // attention_input before each call, as in a model
  };

  // Sequences with `queries` last tokens of `context`; prints one line.
  void attention(Heads heads, int sequences, int queries, int context, Options options) {
    const double seconds =
        time_attention(heads, std::vector<int>(static_cast<size_t>(sequences), context), queries,
                       context, options);
    print(heads, sequences, queries, context, options, seconds);
  }

  // A token each of sequences whose contexts are spread over 8 to 1,024 tokens, as many from 8 to
  // 16 as from 512 on.
  void ragged(Heads heads, int sequences) {
    std::vector<int> lengths;
    for (int b = 0; b < sequences; ++b) {
      const double part = std::fmod(b * 0.6180339887, 1);
      lengths.push_back(static_cast<int>(8 * std::pow(128, part)));
    }
    const double seconds = time_attention(heads, lengths, 1, 1024, {});
    const double bytes =
        4.0 * std::accumulate(lengths.begin(), lengths.end(), 0) * heads.kv * heads.dim;
    std::printf("%3d/%-2d x %3d %5d seq of 8 to 1,024 tokens %9.1f us %7.1f GB/s (%3.0f%%)\n",
                heads.query, heads.kv, heads.dim, sequences, seconds * 1e6, bytes * 1e-9 / seconds,
                bytes / kReadBytesPerSecond / seconds * 100);
    std::fflush(stdout);
  }

  void input(Heads heads, int tokens) {
    const Pages pages = make_pages(heads, 1, tokens);
    const int64_t columns = int64_t{heads.query + 2 * heads.kv} * heads.dim;
    const Tensor qkv = random(Shape{tokens, columns});
    Tensor slots(Shape{tokens}, DType::kI64), cos_sin(Shape{tokens, heads.dim}, DType::kF32);
    std::iota(slots.data<int64_t>(), slots.data<int64_t>() + tokens, 0);
    std::fill_n(cos_sin.data<float>(), cos_sin.shape().numel(), 0.7f);
    const Tensor device_slots = upload(slots), device_cos_sin = upload(cos_sin);
    const AttentionInputParams params{.heads = heads.query,
                                      .kv_heads = heads.kv,
                                      .head_dim = heads.dim,
                                      .cos_sin = device_cos_sin};
    const double seconds = time(pages.layers, [&](int layer) {
      Ctx ctx{*stream_, arena_};
      attention_input(ctx, qkv, params, device_slots, pages.layer(layer));
    });
    const double bytes = 2.0 * 2 * tokens * static_cast<double>(columns);  // read and written once
    std::printf("input %3d/%-2d x %3d  %5d tokens  %8.1f us  %7.0f GB/s\n", heads.query, heads.kv,
                heads.dim, tokens, seconds * 1e6, bytes / seconds * 1e-9);
  }

 private:
  struct Pages {
    Tensor memory, table, host_table;
    PagedKv kv;
    int layers = 1;

    PagedKv layer(int i) const {
      PagedKv of_layer = kv;
      of_layer.layer_offset =
          static_cast<size_t>(i) * (kv.page_bytes / static_cast<size_t>(layers));
      return of_layer;
    }
  };

  // Seconds of a call; `context`: the longest length.
  double time_attention(Heads heads, const std::vector<int>& lengths, int queries, int context,
                        Options options) {
    const int sequences = static_cast<int>(lengths.size());
    const Pages pages = make_pages(heads, sequences, context);
    const Tensor start = upload(steps(sequences + 1, queries)), length = upload(lengths),
                 slots = upload(last_slots(pages, sequences, queries, context)),
                 qkv = random(Shape{int64_t{sequences} * queries,
                                    int64_t{heads.query + 2 * heads.kv} * heads.dim});
    const TensorView q = qkv.view().columns(0, int64_t{heads.query} * heads.dim);
    const Tensor out(q.shape(), dtype_, kGpu);
    const AttentionBatch batch{.query_start = start,
                               .kv_len = length,
                               .block_table = pages.table,
                               .max_query_len = queries,
                               .max_kv_len = context};
    const AttentionParams params{.heads = heads.query,
                                 .scale = 1.0f / std::sqrt(static_cast<float>(heads.dim)),
                                 .window = options.window,
                                 .batch_invariant = options.batch_invariant};
    const AttentionInputParams input{
        .heads = heads.query, .kv_heads = heads.kv, .head_dim = heads.dim};
    return time(pages.layers, [&](int layer) {
      Ctx ctx{*stream_, arena_};
      if (options.with_input) attention_input(ctx, qkv, input, slots, pages.layer(layer));
      paged_attention(ctx, q, pages.layer(layer), batch, params, out);
    });
  }

  void print(Heads heads, int sequences, int queries, int context, Options options,
             double seconds) const {
    const bool decodes = queries <= 8;
    const int seen = options.window > 0 ? std::min(options.window + queries - 1, context) : context;
    const double bytes = 4.0 * sequences * seen * heads.kv * heads.dim;
    const double pairs =
        sequences * static_cast<double>(queries) * (context - static_cast<double>(queries - 1) / 2);
    const double flop = pairs * 4 * heads.dim * heads.query;
    std::printf(
        "%3d/%-2d x %3d %5d seq x %5d queries of %6d %-6s %-9s %-6s %9.1f us %7.1f %s (%3.0f%%)\n",
        heads.query, heads.kv, heads.dim, sequences, queries, context,
        options.window > 0 ? "window" : "", options.batch_invariant ? "invariant" : "",
        options.with_input ? "+input" : "", seconds * 1e6,
        (decodes ? bytes * 1e-9 : flop * 1e-12) / seconds, decodes ? "GB/s" : "TFLOP/s",
        (decodes ? bytes / kReadBytesPerSecond : flop / kFlopPerSecond) / seconds * 100);
    std::fflush(stdout);
  }

  static std::vector<int> steps(int count, int step) {
    std::vector<int> values(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) values[static_cast<size_t>(i)] = i * step;
    return values;
  }
  Tensor random(Shape shape) {
    Tensor tensor(shape, dtype_, kGpu);
    Ctx ctx{*stream_, arena_};
    random_normal(ctx, {.key = 1, .row_elements = shape[1], .stddev = 1}, tensor);
    return tensor;
  }

  static Tensor last_slots(const Pages& pages, int sequences, int queries, int context) {
    Tensor slots(Shape{int64_t{sequences} * queries}, DType::kI64);
    for (int64_t b = 0; b < sequences; ++b) {
      for (int64_t i = 0; i < queries; ++i) {
        const int64_t token = context - queries + i;
        slots.data<int64_t>()[b * queries + i] =
            pages.host_table.view().row<int32_t>(b)[token / kBlockTokens] * int64_t{kBlockTokens} +
            token % kBlockTokens;
      }
    }
    return slots;
  }

  // Pages in scattered order; enough layers that one's K and V leave the L2 cache before they are
  // read again.
  Pages make_pages(Heads heads, int sequences, int context) {
    const int blocks = (context + kBlockTokens - 1) / kBlockTokens;
    const int64_t layer_elements = int64_t{2} * heads.kv * heads.dim * kBlockTokens;
    const int64_t pages = int64_t{sequences} * blocks;
    Pages made;
    made.layers = static_cast<int>(
        std::clamp<int64_t>(int64_t{200 << 20} / (pages * layer_elements * 2), 1, 32));
    made.memory = random(Shape{pages * made.layers, layer_elements});
    made.kv = {.pages = made.memory.data<std::byte>(),
               .page_bytes = static_cast<size_t>(made.layers * layer_elements * 2),
               .block_tokens = kBlockTokens,
               .kv_heads = heads.kv,
               .head_dim = heads.dim,
               .dtype = dtype_};
    Tensor table(Shape{sequences, blocks}, DType::kI32);
    for (int64_t i = 0; i < pages; ++i)  // 7919 is prime: every page once
      table.data<int32_t>()[i] = static_cast<int32_t>(pages % 7919 == 0 ? i : i * 7919 % pages);
    made.table = upload(table);
    made.host_table = std::move(table);
    return made;
  }

  // Median seconds of one call of `op`.
  template <class Op>
  double time(int layers, Op&& op) {
    return time_in_graph(*stream_, std::max(layers, 4), [&](int i) { op(i % layers); });
  }

  std::unique_ptr<Stream> stream_;
  Arena arena_;
  DType dtype_;
};

constexpr Heads kLlama3{32, 8, 128}, kLlama2{32, 32, 128}, kSmolLm2{32, 32, 64}, kGemma3{4, 1, 256};

void decode(Bench& bench) {
  bench.attention(kLlama3, 64, 1, 2048, {});
  bench.attention(kLlama2, 64, 1, 2048, {});
  for (const Heads& heads : {kLlama3, kLlama2}) {
    for (int context : {1, 256, 2048, 16384}) bench.attention(heads, 1, 1, context, {});
    for (int context : {128, 400, 640}) bench.attention(heads, 64, 1, context, {});
    bench.attention(heads, 256, 1, 400, {});
    for (int sequences : {16, 64, 256}) bench.ragged(heads, sequences);
  }
  bench.ragged(kLlama3, 1000);
  bench.attention(kLlama3, 16, 1, 2048, {});
  bench.attention(kLlama2, 4, 1, 2048, {});
  for (int sequences : {1, 64}) bench.attention(kLlama3, sequences, 1, 400, {.with_input = true});
  bench.attention(kLlama3, 64, 4, 2048, {});
  bench.attention(kSmolLm2, 1, 1, 512, {});
  bench.attention(kSmolLm2, 64, 1, 2048, {});
  bench.attention(kGemma3, 64, 1, 2048, {});
  bench.attention(kGemma3, 64, 1, 2048, {.window = 512});
  for (int context : {400, 2048}) {
    for (int sequences : {1, 64}) {
      bench.attention(kLlama3, sequences, 1, context, {.batch_invariant = true});
      bench.attention(kLlama2, sequences, 1, context, {.batch_invariant = true});
    }
  }
}

void prefill(Bench& bench) {
  bench.attention(kLlama3, 1, 8192, 8192, {});
  bench.attention(kLlama3, 1, 1024, 8192, {});
  for (int queries : {512, 1024, 2048, 4096, 16384})
    bench.attention(kLlama3, 1, queries, queries, {});
  bench.attention(kLlama3, 16, 512, 512, {});
  bench.attention(kLlama3, 72, 111, 111, {});
  bench.attention(kLlama2, 1, 8192, 8192, {});
  bench.attention(kSmolLm2, 1, 8192, 8192, {});
  bench.attention(kGemma3, 1, 4096, 4096, {});
}

void input(Bench& bench) {
  for (int tokens : {1, 64, 8192}) bench.input(kLlama3, tokens);
}

int run(int count, char** arguments) {
  const std::string_view what = count > 1 ? arguments[1] : "all";
  const std::string_view type = count > 2 ? arguments[2] : "bf16";
  Bench bench(type == "f16" ? DType::kF16 : DType::kBF16);
  std::printf("limits: %.2f TB/s read, %.0f TFLOP/s; query/kv heads x dim, %s\n",
              kReadBytesPerSecond * 1e-12, kFlopPerSecond * 1e-12, type.data());
  if (what == "decode" || what == "all") decode(bench);
  if (what == "prefill" || what == "all") prefill(bench);
  if (what == "input" || what == "all") input(bench);
  return 0;
}

}  // namespace
}  // namespace lmdeploy

int main(int count, char** arguments) { return lmdeploy::run(count, arguments); }
