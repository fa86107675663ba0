// CUDA's paged_attention against the plain CPU op on the same rounded inputs.
#include "kernels/attention.h"

#include <cmath>
#include <cstring>

#include "tests/kernels/cuda/cuda_test_support.h"
#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::CudaRun;
using test::KvShape;
using test::PagedKvFixture;

struct Case {
  KvShape kv{.kv_heads = 2, .head_dim = 128, .dtype = DType::kBF16};
  int heads = 8;
  int window = 0;
  float softcap = 0;
  bool alibi = false;
  bool sinks = false;
  bool batch_invariant = false;
  int gap = 24;  // columns between the rows of q
};

// One call: the last queries[b] tokens of each context kv_len[b].
struct Step {
  std::vector<int> queries;
  std::vector<int> kv_len;

  int64_t tokens() const {
    int64_t sum = 0;
    for (int n : queries) sum += n;
    return sum;
  }
};

Tensor ints(const std::vector<int>& values) {
  Tensor tensor(Shape{static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), tensor.data<int32_t>());
  return tensor;
}

class Attention {
 public:
  Attention(const Case& c, std::vector<int> lengths)
      : case_(c),
        cache_(c.kv, std::move(lengths)),
        slopes_(Shape{c.heads}, DType::kF32),
        sinks_(Shape{c.heads}, DType::kF32) {
    cache_.fill(1.0);
    for (int h = 0; h < c.heads; ++h) {
      slopes_.data<float>()[h] = 0.25f / static_cast<float>(1 + h);
      sinks_.data<float>()[h] = 2.0f + static_cast<float>(h);
    }
  }

  PagedKvFixture& cache() { return cache_; }
  int64_t columns() const { return int64_t{case_.heads} * case_.kv.head_dim; }

  // f32 [tokens, heads * head_dim].
  Tensor on_cpu(const Step& step) {
    CpuRun cpu(16, "scalar");
    Tensor out(Shape{step.tokens(), columns()}, DType::kF32);
    const Tensor q = test::as_f32(queries(step));
    paged_attention(cpu.ctx, q.view().columns(0, columns()), cache_.kv(),
                    geometry(step, cache_.table(), {}), params({}), out);
    return out;
  }

  // In the cache's type, on the host.
  Tensor on_gpu(CudaRun& gpu, const Step& step) {
    const Tensor q = test::to_gpu(queries(step)), pages = test::to_gpu(cache_.pages()),
                 table = test::to_gpu(cache_.table()),
                 out(Shape{step.tokens(), columns()}, case_.kv.dtype, CudaRun::kDevice);
    device_fill(out);
    PagedKv kv = cache_.kv();
    kv.pages = pages.data<std::byte>();
    gpu.arena().poison();
    Ctx ctx = gpu.ctx();
    paged_attention(ctx, q.view().columns(0, columns()), kv,
                    geometry(step, table, CudaRun::kDevice), params(CudaRun::kDevice), out);
    gpu.stream().synchronize();
    return test::to_host(out);
  }

 private:
  static void device_fill(const Tensor& out) {
    Tensor poison(out.shape(), out.dtype());
    std::memset(poison.view().raw(), 0xFF, poison.bytes());
    device_copy(CudaRun::kDevice, out.view().raw(), Device{}, poison.view().raw(), poison.bytes());
  }

  // Rows with a gap of NaN between them.
  Tensor queries(const Step& step) const {
    Tensor q(Shape{step.tokens(), columns() + case_.gap}, DType::kF32);
    int64_t t = 0;
    for (size_t b = 0; b < step.queries.size(); ++b) {
      for (int i = 0; i < step.queries[b]; ++i, ++t) {
        const int position = step.kv_len[b] - step.queries[b] + i;
        for (int64_t c = 0; c < columns() + case_.gap; ++c) {
          q.view().row<float>(t)[c] = c < columns()
                                          ? static_cast<float>(hash_normal(
                                                7 + b, static_cast<uint64_t>(position * 65536 + c)))
                                          : NAN;
        }
      }
    }
    return test::rounded(q, case_.kv.dtype);
  }

  AttentionBatch geometry(const Step& step, const Tensor& table, Device device) {
    std::vector<int> start = {0};
    AttentionBatch batch;
    for (size_t b = 0; b < step.queries.size(); ++b) {
      start.push_back(start.back() + step.queries[b]);
      batch.max_query_len = std::max(batch.max_query_len, step.queries[b]);
      batch.max_kv_len = std::max(batch.max_kv_len, step.kv_len[b]);
    }
    start_ = test::copied(ints(start), device);
    length_ = test::copied(ints(step.kv_len), device);
    batch.query_start = start_;
    batch.kv_len = length_;
    batch.block_table = table.view().rows(0, static_cast<int64_t>(step.queries.size()));
    return batch;
  }

  AttentionParams params(Device device) {
    AttentionParams params{.heads = case_.heads,
                           .scale = 4.0f / std::sqrt(static_cast<float>(case_.kv.head_dim)),
                           .window = case_.window,
                           .softcap = case_.softcap,
                           .batch_invariant = case_.batch_invariant};
    device_slopes_ = test::copied(slopes_, device);
    device_sinks_ = test::copied(sinks_, device);
    if (case_.alibi) params.alibi_slopes = device_slopes_;
    if (case_.sinks) params.sinks = device_sinks_;
    return params;
  }

  Case case_;
  PagedKvFixture cache_;
  Tensor slopes_, sinks_, device_slopes_, device_sinks_, start_, length_;
};

// Twice the rounding of the result. (Sums of up to 34,000 weights are not exact in fp32 either.) Values
// of latents are so many that the largest weights' roundings come together in some.
double tolerance(const KvShape& kv) {
  if (kv.dtype == DType::kF32) return 1e-5;
  return (kv.latent_dim > 0 ? 2 : 1) * test::rounding(kv.dtype);
}

// `out` [T, heads * head_dim] as f32; of a latent cache, its defined columns.
Tensor defined_columns(const Tensor& out, const KvShape& kv) {
  Tensor all = test::as_f32(out);
  if (kv.latent_dim == 0) return all;
  const int64_t heads = all.shape()[1] / kv.head_dim;
  Tensor defined(Shape{all.shape()[0], heads * kv.latent_dim}, DType::kF32);
  for (int64_t t = 0; t < all.shape()[0]; ++t) {
    for (int64_t head = 0; head < heads; ++head) {
      std::copy_n(all.view().row<float>(t) + head * kv.head_dim, kv.latent_dim,
                  defined.view().row<float>(t) + head * kv.latent_dim);
    }
  }
  return defined;
}

void expect_equals_cpu(const Case& c, const Step& step) {
  Attention attention(c, step.kv_len);
  CudaRun gpu;
  test::expect_close(defined_columns(attention.on_gpu(gpu, step), c.kv),
                     defined_columns(attention.on_cpu(step), c.kv), tolerance(c.kv),
                     "element");
}

std::vector<int> ones(size_t count) { return std::vector<int>(count, 1); }

// DeepSeek's.
KvShape latent_kv() {
  return {.kv_heads = 1, .head_dim = 576, .dtype = DType::kBF16, .latent_dim = 512};
}

TEST(CudaAttention, DecodeAtEveryBorderLength) {
  const std::vector<int> lengths = {1,  2,   15,  16,  17,  31,  33,  63,  64,
                                    65, 127, 128, 129, 255, 256, 257, 511, 513};
  for (int head_dim : {64, 80, 96, 128, 256}) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(testing::Message() << head_dim << " " << dtype_name(dtype));
      expect_equals_cpu({.kv = {.head_dim = head_dim, .dtype = dtype}},
                        {ones(lengths.size()), lengths});
    }
  }
}

TEST(CudaAttention, DecodeOfOneSequenceSplitAmongBlocks) {
  for (int length : {1, 63, 64, 65, 127, 129, 700, 8447, 8448, 8449, 20000, 33791, 33793}) {
    SCOPED_TRACE(length);
    expect_equals_cpu({.kv = {.kv_heads = 1, .head_dim = 64, .dtype = DType::kF16}, .heads = 2},
                      {{1}, {length}});
  }
  expect_equals_cpu({.kv = {.kv_heads = 8, .head_dim = 128}, .heads = 32}, {{1}, {3011}});
}

TEST(CudaAttention, DecodeOfManyRaggedSequences) {
  std::vector<int> lengths;
  for (int b = 0; b < 150; ++b)
    lengths.push_back(1 + static_cast<int>(hash_random(5, static_cast<uint64_t>(b)) % 400));
  lengths[70] = 3000;
  for (int heads : {2, 8, 14}) expect_equals_cpu({.heads = heads}, {ones(150), lengths});
}

// More sequences than a block has threads, several to each.
TEST(CudaAttention, DecodeOfOverAThousandSequences) {
  std::vector<int> lengths;
  for (int b = 0; b < 1100; ++b)
    lengths.push_back(1 + static_cast<int>(hash_random(6, static_cast<uint64_t>(b)) % 100));
  expect_equals_cpu({.kv = {.kv_heads = 1, .head_dim = 64, .dtype = DType::kF16}, .heads = 2},
                    {ones(1100), lengths});
}

TEST(CudaAttention, LatentCaches) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int block_tokens : {32, 64, 128}) {
      SCOPED_TRACE(testing::Message() << dtype_name(dtype) << " " << block_tokens);
      const KvShape kv{.kv_heads = 1,
                       .head_dim = 576,
                       .block_tokens = block_tokens,
                       .dtype = dtype,
                       .latent_dim = 512};
      const Step step{{1, 1, 1, 1, 1, 3, 40, 1}, {1, 31, 64, 65, 1000, 129, 90, 700}};
      for (int gap : {0, 24}) {  // Hopper's tiles read rows without a gap
        expect_equals_cpu({.kv = kv, .heads = 16, .gap = gap}, step);
        expect_equals_cpu({.kv = kv, .heads = 16, .batch_invariant = true, .gap = gap}, step);
        expect_equals_cpu({.kv = kv, .heads = 40, .gap = gap}, {{1, 5}, {300, 70}});
        // Many rows, whose contexts are not split.
        expect_equals_cpu({.kv = kv, .heads = 16, .gap = gap}, {{70, 129, 1}, {70, 700, 90}});
      }
    }
  }
  std::vector<int> lengths;  // tiles of 64 heads fill the device
  for (int b = 0; b < 70; ++b) lengths.push_back(2 * b + 1);
  for (int gap : {0, 24}) {
    expect_equals_cpu({.kv = latent_kv(), .heads = 128, .gap = gap}, {ones(70), lengths});
  }
  const KvShape other{.kv_heads = 1, .head_dim = 80, .dtype = DType::kBF16, .latent_dim = 64};
  expect_equals_cpu({.kv = other, .heads = 6}, {{1, 33, 2}, {130, 90, 700}});
}

// Down to 64 tokens a block, whose parts another kernel sums.
TEST(CudaAttention, LatentContextsSplitAmongBlocks) {
  for (int length : {1, 64, 65, 128, 129, 1000, 8448, 8449, 20000}) {
    SCOPED_TRACE(length);
    expect_equals_cpu({.kv = latent_kv(), .heads = 16, .gap = 0}, {{1}, {length}});
  }
  for (int heads : {4, 20}) {
    expect_equals_cpu({.kv = latent_kv(), .heads = heads, .gap = 0}, {{1}, {1000}});
  }
  expect_equals_cpu({.kv = latent_kv(), .heads = 16, .gap = 0}, {{8}, {1011}});
  expect_equals_cpu({.kv = latent_kv(), .heads = 16, .gap = 0},
                    {{1, 2, 1, 1, 3}, {3000, 70, 1, 640, 900}});
  expect_equals_cpu({.kv = latent_kv(), .heads = 128, .gap = 0}, {{1, 2}, {1300, 300}});
}

TEST(CudaAttention, SeveralQueryTokensPerSequence) {
  for (int heads : {2, 6, 8, 16, 20}) {
    SCOPED_TRACE(heads);
    expect_equals_cpu({.heads = heads}, {{1, 2, 3, 5, 8, 4}, {1, 2, 66, 129, 300, 4}});
  }
}

TEST(CudaAttention, PrefillOfWholePromptsAndChunks) {
  for (int head_dim : {64, 80, 96, 128, 256}) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(testing::Message() << head_dim << " " << dtype_name(dtype));
      expect_equals_cpu({.kv = {.head_dim = head_dim, .dtype = dtype}},
                        {{9, 63, 64, 65, 129, 100}, {9, 63, 64, 200, 129, 657}});
    }
  }
}

TEST(CudaAttention, LongerPrompts) {
  expect_equals_cpu({.heads = 2}, {{700}, {700}});
  expect_equals_cpu({}, {{300, 17}, {1100, 1000}});
}

TEST(CudaAttention, RaggedMixOfDecodeAndPrefill) {
  expect_equals_cpu({}, {{1, 1, 8, 0, 129, 70, 9}, {300, 65, 150, 40, 200, 70, 512}});
  std::vector<int> queries = ones(40), lengths;
  for (int b = 0; b < 40; ++b) lengths.push_back(7 * b + 3);
  for (int n : {33, 257}) {
    queries.push_back(n);
    lengths.push_back(n + 100);
  }
  expect_equals_cpu({.kv = {.head_dim = 64, .dtype = DType::kF16}}, {queries, lengths});
}

TEST(CudaAttention, BlockSizes) {
  for (int block_tokens : {32, 64, 128}) {
    const KvShape kv{.head_dim = 128, .block_tokens = block_tokens, .dtype = DType::kF16};
    expect_equals_cpu({.kv = kv}, {{1, 40, 2, 150}, {200, 40, 131, 333}});
  }
}

TEST(CudaAttention, OtherHeadDimsAndUnalignedRows) {
  for (int head_dim : {8, 72, 100, 250}) {
    SCOPED_TRACE(head_dim);
    expect_equals_cpu({.kv = {.head_dim = head_dim, .dtype = DType::kF16}},
                      {{1, 3, 20}, {130, 90, 45}});
  }
  expect_equals_cpu({.gap = 3}, {{1, 3, 20}, {130, 90, 45}});
}

TEST(CudaAttention, GroupSizes) {
  for (int group : {1, 2, 3, 7, 8, 16, 71}) {
    SCOPED_TRACE(group);
    expect_equals_cpu({.kv = {.kv_heads = 1, .head_dim = 64, .dtype = DType::kF16}, .heads = group},
                      {{1, 3, 60}, {260, 70, 180}});
  }
}

TEST(CudaAttention, ScoreShapes) {
  const Step step{{1, 90, 4, 1}, {300, 190, 270, 1}};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const KvShape kv{.head_dim = 128, .dtype = dtype};
    expect_equals_cpu({.kv = kv, .softcap = 5.0f}, step);
    expect_equals_cpu({.kv = kv, .softcap = 50.0f}, step);
    expect_equals_cpu({.kv = kv, .alibi = true}, step);
    expect_equals_cpu({.kv = kv, .sinks = true}, step);
    expect_equals_cpu({.kv = kv, .window = 50, .softcap = 20.0f, .alibi = true, .sinks = true},
                      step);
  }
}

TEST(CudaAttention, WindowWithItsPagesFreed) {
  for (bool batch_invariant : {false, true}) {
    for (int window : {1, 32, 63, 64, 65, 100, 300}) {
      SCOPED_TRACE(window);
      Case c{.window = window, .batch_invariant = batch_invariant};
      c.kv.block_tokens = 32;
      const Step step{{1, 140, 3, 1}, {600, 433, 290, 64}};
      Attention attention(c, step.kv_len);
      for (size_t b = 0; b < step.kv_len.size(); ++b) {
        attention.cache().free_before(static_cast<int>(b),
                                      step.kv_len[b] - step.queries[b] + 1 - window);
      }
      CudaRun gpu;
      test::expect_close(attention.on_gpu(gpu, step), attention.on_cpu(step), tolerance(c.kv),
                         "element");
    }
  }
}

void expect_zeros_in_padded_rows(const Case& c) {
  const Step step{{1, 1, 1, 1}, {0, 100, 0, 0}};
  Attention attention(c, {1, 100, 1, 1});
  CudaRun gpu;
  const Tensor got = defined_columns(attention.on_gpu(gpu, step), c.kv);
  for (int64_t row : {0, 2, 3}) {
    for (int64_t i = 0; i < got.shape()[1]; ++i) ASSERT_EQ(got.view().row<float>(row)[i], 0) << row;
  }
  ASSERT_TRUE(std::isfinite(got.view().row<float>(1)[0]));
}

TEST(CudaAttention, PaddedRowsAreZeros) {
  for (bool batch_invariant : {false, true}) {
    expect_zeros_in_padded_rows({.batch_invariant = batch_invariant});
  }
}

TEST(CudaAttention, PaddedRowsOfLatentsAreZeros) {
  for (bool batch_invariant : {false, true}) {
    expect_zeros_in_padded_rows(
        {.kv = latent_kv(), .heads = 16, .batch_invariant = batch_invariant, .gap = 0});
  }
}

void expect_repeats(const Case& c, const std::vector<Step>& steps) {
  CudaRun gpu;
  for (const Step& step : steps) {
    Attention attention(c, step.kv_len);
    const Tensor first = attention.on_gpu(gpu, step);
    for (int i = 0; i < 5; ++i) {
      const Tensor again = attention.on_gpu(gpu, step);
      ASSERT_EQ(std::memcmp(first.view().raw(), again.view().raw(), first.bytes()), 0);
    }
  }
}

// Parts are summed in order, and the kernels leave the stream's counters as they found them.
TEST(CudaAttention, RepeatsBitForBit) {
  expect_repeats({}, {{{1, 1, 1}, {5000, 300, 2111}}, {{1, 200, 40}, {900, 300, 400}}});
}

TEST(CudaAttention, RepeatsLatentsBitForBit) {
  expect_repeats({.kv = latent_kv(), .heads = 16, .gap = 0},
                 {{{1, 1, 1}, {2000, 300, 64}}, {{1, 70, 1}, {300, 100, 40}}});
}

// A row's bits are the same whether its prompt comes whole, in chunks or token by token, alone or
// in company.
void expect_bits_do_not_depend_on_company(Case c, int length) {
  c.batch_invariant = true;
  Attention attention(c, {length, 300, 77});
  CudaRun gpu;
  const size_t row_bytes = static_cast<size_t>(attention.columns()) * 2;
  const Tensor whole = attention.on_gpu(gpu, {{length}, {length}});
  const auto expect_rows = [&](const Tensor& got, int first, int count) {
    ASSERT_EQ(std::memcmp(got.view().raw(),
                          whole.data<std::byte>() + static_cast<size_t>(first) * row_bytes,
                          static_cast<size_t>(count) * row_bytes),
              0)
        << "rows from " << first << ", " << count;
  };
  for (int position = 0; position < length; position += position % 64 < 60 ? 17 : 1) {
    expect_rows(attention.on_gpu(gpu, {{1}, {position + 1}}), position, 1);
    expect_rows(attention.on_gpu(gpu, {{1, 1, 77}, {position + 1, 300, 77}}), position, 1);
  }
  for (int chunk : {37, 64, 100}) {
    for (int begin = 0; begin < length; begin += chunk) {
      const int count = std::min(chunk, length - begin);
      expect_rows(attention.on_gpu(gpu, {{count, 1}, {begin + count, 290}}), begin, count);
    }
  }
}

TEST(CudaAttention, InvariantBitsDoNotDependOnCompany) {
  expect_bits_do_not_depend_on_company({}, 330);
  expect_bits_do_not_depend_on_company(
      {.kv = {.head_dim = 80, .dtype = DType::kF16}, .window = 70, .softcap = 30.0f}, 330);
  expect_bits_do_not_depend_on_company(
      {.kv = {.kv_heads = 1, .head_dim = 64, .dtype = DType::kBF16},
       .heads = 7,
       .alibi = true,
       .sinks = true},
      530);
  expect_bits_do_not_depend_on_company({.kv = latent_kv(), .heads = 16, .gap = 0}, 330);
}

TEST(CudaAttention, InvariantEqualsTheCpu) {
  for (int head_dim : {64, 128, 256}) {
    expect_equals_cpu(
        {.kv = {.head_dim = head_dim, .dtype = DType::kBF16}, .batch_invariant = true},
        {{1, 1, 90, 4, 1}, {300, 1, 190, 270, 65}});
  }
}

}  // namespace
}  // namespace lmdeploy
