#include "kernels/attention.h"

#include <cmath>

#include "tests/kernels/paged_kv_fixture.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::KvShape;
using test::PagedKvFixture;

struct Case {
  KvShape kv;
  int heads = 6;
  int window = 0;
  float softcap = 0;
  bool alibi = false;
  bool sinks = false;
  float exact_scores = 0;  // above 0: scores near it that fp32 holds, values 1 and -1
};

// One call of paged_attention: the last queries[b] tokens of each context kv_len[b].
struct Step {
  std::vector<int> queries;
  std::vector<int> kv_len;
};

class Attention {
 public:
  Attention(const Case& c, std::vector<int> lengths) : case_(c), cache_(c.kv, std::move(lengths)) {
    // Scores q.k * scale with a standard deviation of about 4.
    cache_.fill(1.0);
    if (c.exact_scores > 0) fill_exact();
    slopes_ = Tensor(Shape{c.heads}, DType::kF32);
    sinks_ = Tensor(Shape{c.heads}, DType::kF32);
    for (int h = 0; h < c.heads; ++h) {
      slopes_.data<float>()[h] = 0.25f / static_cast<float>(1 + h);
      sinks_.data<float>()[h] = c.exact_scores + 2.0f + static_cast<float>(h);
    }
  }

  PagedKvFixture& cache() { return cache_; }
  float scale() const { return 4.0f / std::sqrt(static_cast<float>(case_.kv.head_dim)); }
  float q(int sequence, int position, int column) const {
    if (case_.exact_scores > 0) return column % case_.kv.head_dim == 0 ? 1 / scale() : 0;
    return static_cast<float>(hash_normal(static_cast<uint64_t>(7 + sequence),
                                          static_cast<uint64_t>(position * 65536 + column)));
  }

  // Rows of the output, in the step's order.
  std::vector<float> run(CpuRun& cpu, const Step& step) {
    const int64_t batch = static_cast<int64_t>(step.queries.size());
    Tensor start(Shape{batch + 1}, DType::kI32), length(Shape{batch}, DType::kI32);
    AttentionBatch geometry{.query_start = start,
                            .kv_len = length,
                            .block_table = cache_.table().view().rows(0, batch)};
    for (int64_t b = 0; b < batch; ++b) {
      const int queries = step.queries[static_cast<size_t>(b)],
                kv_len = step.kv_len[static_cast<size_t>(b)];
      start.data<int32_t>()[b + 1] = start.data<int32_t>()[b] + queries;
      length.data<int32_t>()[b] = kv_len;
      geometry.max_query_len = std::max(geometry.max_query_len, queries);
      geometry.max_kv_len = std::max(geometry.max_kv_len, kv_len);
    }
    const int64_t tokens = start.data<int32_t>()[batch],
                  columns = int64_t{case_.heads} * case_.kv.head_dim;
    Tensor wide(Shape{tokens, columns + 24}, DType::kF32), out(Shape{tokens, columns}, DType::kF32);
    for (int64_t b = 0, t = 0; b < batch; ++b) {
      for (int i = 0; i < step.queries[static_cast<size_t>(b)]; ++i, ++t) {
        const int position =
            step.kv_len[static_cast<size_t>(b)] - step.queries[static_cast<size_t>(b)] + i;
        for (int64_t c = 0; c < columns; ++c)
          wide.view().row<float>(t)[c] = q(static_cast<int>(b), position, static_cast<int>(c));
      }
    }
    AttentionParams params{
        .heads = case_.heads, .scale = scale(), .window = case_.window, .softcap = case_.softcap};
    if (case_.alibi) params.alibi_slopes = slopes_;
    if (case_.sinks) params.sinks = sinks_;
    cpu.arena.poison();
    paged_attention(cpu.ctx, wide.view().columns(0, columns), cache_.kv(), geometry, params, out);
    return {out.data<float>(), out.data<float>() + tokens * columns};
  }

  // A head's q times the scale, as the instruction set multiplies it: AMX rounds it to the type of a
  // bf16 cache.
  std::vector<double> scaled_q(const std::string& isa, int sequence, int position, int head) const {
    const bool rounds = isa == "amx" && case_.kv.dtype == DType::kBF16;
    std::vector<double> out;
    for (int i = 0; i < case_.kv.head_dim; ++i) {
      const float x = q(sequence, position, head * case_.kv.head_dim + i);
      out.push_back(rounds ? to_float(to_bf16(x * scale())) : double{x} * scale());
    }
    return out;
  }
  // Twice the rounding of p to bf16 where AMX multiplies, relative to sum(p |v|).
  double tolerance(const std::string& isa) const {
    return isa == "amx" && case_.kv.dtype == DType::kBF16 ? 0x1p-8 : 0;
  }

  // Of the scores' products, which exact scores do not have.
  double rounding() const { return case_.exact_scores > 0 ? 1e-6 : 3e-5; }

  struct Expected {
    std::vector<double> value, magnitude;  // sum(p v), sum(p |v|)
  };

  // fp64, straight from the formula; head `head` of the query at `position`.
  Expected reference(const std::string& isa, int sequence, int position, int head) const {
    const int d = case_.kv.head_dim, kv_head = head / (case_.heads / case_.kv.kv_heads);
    const int first = case_.window > 0 ? std::max(0, position - case_.window + 1) : 0;
    std::vector<double> scores;
    const std::vector<double> scaled = scaled_q(isa, sequence, position, head);
    double max = case_.sinks ? sinks_.data<float>()[head] : -INFINITY;
    for (int j = first; j <= position; ++j) {
      double s = 0;
      for (int i = 0; i < d; ++i) {
        s += scaled[static_cast<size_t>(i)] * cache_.get(sequence, j, kv_head, i);
      }
      if (case_.softcap > 0) s = case_.softcap * std::tanh(s / case_.softcap);
      if (case_.alibi) s += double{slopes_.data<float>()[head]} * (j - position);
      scores.push_back(s);
      max = std::max(max, s);
    }
    double sum = case_.sinks ? std::exp(sinks_.data<float>()[head] - max) : 0;
    for (double& s : scores) sum += s = std::exp(s - max);
    Expected out{std::vector<double>(static_cast<size_t>(d)), std::vector<double>(static_cast<size_t>(d))};
    for (size_t i = 0; i < static_cast<size_t>(d); ++i) {
      for (int j = first; j <= position; ++j) {
        const double part = scores[static_cast<size_t>(j - first)] / sum *
                            cache_.get(sequence, j, case_.kv.kv_heads + kv_head, static_cast<int>(i));
        out.value[i] += part;
        out.magnitude[i] += std::abs(part);
      }
    }
    return out;
  }

  void expect_close(const std::string& isa, const std::vector<float>& got, const Step& step) const {
    const int d = case_.kv.head_dim;
    size_t row = 0;
    for (size_t b = 0; b < step.queries.size(); ++b) {
      for (int i = 0; i < step.queries[b]; ++i, ++row) {
        // Every 7th row and the last: the reference is slow.
        if (i % 7 != 0 && i + 1 != step.queries[b]) continue;
        const int position = step.kv_len[b] - step.queries[b] + i;
        for (int head = 0; head < case_.heads; ++head) {
          const Expected want = reference(isa, static_cast<int>(b), position, head);
          for (int c = 0; c < d; ++c) {
            const double value =
                got[(row * static_cast<size_t>(case_.heads) + static_cast<size_t>(head)) *
                        static_cast<size_t>(d) +
                    static_cast<size_t>(c)];
            const auto at = static_cast<size_t>(c);
            ASSERT_NEAR(value, want.value[at], rounding() + tolerance(isa) * want.magnitude[at])
                << "sequence " << b << " position " << position << " head " << head << " column "
                << c;
          }
        }
      }
    }
  }

 private:
  // Keys whose first column is the score, in steps of 1/16. Every 256 tokens the greatest score and
  // the values' sign change.
  void fill_exact() {
    for (size_t b = 0; b < cache_.lengths().size(); ++b) {
      for (int token = 0; token < cache_.lengths()[b]; ++token) {
        const int sixteenths = token * 37 % 61 + token / 256 * 3;
        const float score = case_.exact_scores + static_cast<float>(sixteenths) / 16;
        for (int head = 0; head < case_.kv.kv_heads; ++head) {
          for (int i = 0; i < case_.kv.head_dim; ++i) {
            const int sequence = static_cast<int>(b);
            cache_.put(sequence, token, head, i, i == 0 ? score : 0);
            cache_.put(sequence, token, case_.kv.kv_heads + head, i, token / 256 % 2 == 0 ? 1 : -1);
          }
        }
      }
    }
  }

  Case case_;
  PagedKvFixture cache_;
  Tensor slopes_, sinks_;
};

void expect_matches_reference(const Case& c, const Step& step) {
  Attention attention(c, step.kv_len);
  for (const std::string& isa : test::op_isas()) {
    SCOPED_TRACE(isa);
    CpuRun cpu(2, isa);
    attention.expect_close(isa, attention.run(cpu, step), step);
  }
}

TEST(PagedAttention, DecodeAtEveryBorderLength) {
  const std::vector<int> lengths = {1,  2,   15,  16,  17,  31,  33,  63,  64,
                                    65, 127, 129, 255, 256, 257, 320, 511, 513};
  expect_matches_reference({}, {std::vector<int>(lengths.size(), 1), lengths});
}

TEST(PagedAttention, DecodeOfOneSequenceIsSplitAmongThreads) {
  for (int length : {255, 256, 257, 512, 700, 1025}) {
    expect_matches_reference({}, {{1}, {length}});
  }
}

TEST(PagedAttention, RaggedMixOfPrefillAndDecode) {
  expect_matches_reference({}, {{70, 1, 3, 0, 129, 5}, {70, 300, 65, 40, 150, 261}});
}

TEST(PagedAttention, CacheTypesAndBlockSizes) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (int block_tokens : {32, 64, 128}) {
      const KvShape kv{.block_tokens = block_tokens, .dtype = dtype};
      expect_matches_reference({.kv = kv}, {{1, 40, 2}, {200, 40, 131}});
    }
  }
}

TEST(PagedAttention, HeadDims) {
  for (int head_dim : {8, 24, 64, 72, 80, 96, 128, 256}) {
    SCOPED_TRACE(head_dim);
    expect_matches_reference({.kv = {.head_dim = head_dim, .dtype = DType::kF16}},
                             {{1, 33}, {130, 90}});
  }
}

// open_llama_3b has heads of 100.
TEST(PagedAttention, HeadDimsThatAreNoWholeVectors) {
  for (int head_dim : {4, 6, 20, 100, 250}) {
    for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(head_dim);
      expect_matches_reference({.kv = {.head_dim = head_dim, .dtype = dtype}},
                               {{1, 33, 2}, {130, 90, 700}});
    }
  }
}

TEST(PagedAttention, GroupSizes) {
  for (int group : {1, 2, 7, 8, 71}) {
    SCOPED_TRACE(group);
    expect_matches_reference({.kv = {.kv_heads = 1, .head_dim = 32}, .heads = group},
                             {{1, 30}, {260, 70}});
  }
}

// One head whose columns are keys and values.
TEST(PagedAttention, LatentCaches) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const KvShape small{.kv_heads = 1, .head_dim = 80, .dtype = dtype, .latent_dim = 64};
    expect_matches_reference({.kv = small, .heads = 6}, {{1, 33, 2}, {130, 90, 700}});
    const KvShape deepseek{.kv_heads = 1, .head_dim = 576, .dtype = dtype, .latent_dim = 512};
    expect_matches_reference({.kv = deepseek, .heads = 16}, {{1, 5}, {130, 270}});
  }
}

TEST(PagedAttention, ScoreShapes) {
  const Step step{{1, 90, 4}, {300, 90, 270}};
  expect_matches_reference({.softcap = 5.0f}, step);
  expect_matches_reference({.alibi = true}, step);
  expect_matches_reference({.sinks = true}, step);
  expect_matches_reference({.window = 50, .softcap = 20.0f, .alibi = true, .sinks = true}, step);
}

TEST(PagedAttention, ScoreShapesOf16BitCaches) {
  const Step step{{1, 90, 4}, {300, 90, 270}};
  for (DType dtype : {DType::kF16, DType::kBF16}) {
    const KvShape kv{.head_dim = 48, .dtype = dtype};
    expect_matches_reference({.kv = kv, .softcap = 5.0f}, step);
    expect_matches_reference(
        {.kv = kv, .window = 50, .softcap = 20.0f, .alibi = true, .sinks = true}, step);
  }
}

// Splits and sinks are weighed against each other exactly, however large the scores.
TEST(PagedAttention, LargeScoresOfSeveralSplits) {
  const Step step{{1, 40}, {512, 800}};
  for (float score : {300.0f, 1000.0f}) {
    SCOPED_TRACE(score);
    expect_matches_reference({.exact_scores = score}, step);
    expect_matches_reference({.sinks = true, .exact_scores = score}, step);
  }
}

TEST(PagedAttention, WindowWithItsPagesFreed) {
  for (int window : {1, 32, 63, 64, 65, 100, 300}) {
    SCOPED_TRACE(window);
    const Case c{.kv = {.block_tokens = 32, .dtype = window % 2 == 0 ? DType::kBF16 : DType::kF32},
                 .window = window};
    const Step step{{1, 40, 3}, {600, 333, 290}};
    Attention attention(c, step.kv_len);
    for (size_t b = 0; b < step.kv_len.size(); ++b) {
      attention.cache().free_before(static_cast<int>(b),
                                    step.kv_len[b] - step.queries[b] + 1 - window);
    }
    for (const std::string& isa : test::op_isas()) {
      CpuRun cpu(2, isa);
      attention.expect_close(isa, attention.run(cpu, step), step);
    }
  }
}

// A row's bits are the same whether its prompt comes whole, in chunks or token by token, alone or
// in company, on one thread or three.
void expect_bits_do_not_depend_on_company(const Case& c, int length) {
  Attention attention(c, {length, 300, 77});
  const size_t row = static_cast<size_t>(c.heads * c.kv.head_dim);
  for (const std::string& isa : test::op_isas()) {
    SCOPED_TRACE(isa);
    CpuRun one(1, isa), three(3, isa);
    const std::vector<float> whole = attention.run(one, {{length}, {length}});
    const auto expect_rows = [&](const std::vector<float>& got, int first, int count) {
      ASSERT_EQ(std::memcmp(got.data(), whole.data() + static_cast<size_t>(first) * row,
                            static_cast<size_t>(count) * row * sizeof(float)),
                0)
          << "rows from " << first << ", " << count;
    };
    expect_rows(attention.run(three, {{length}, {length}}), 0, length);
    for (int position = 0; position < length;
         position += position % 64 < 60 && position + 12 < length ? 9 : 1) {
      expect_rows(attention.run(position % 2 == 0 ? one : three, {{1}, {position + 1}}), position,
                  1);
      expect_rows(attention.run(three, {{1, 1, 77}, {position + 1, 300, 77}}), position, 1);
    }
    for (int chunk : {37, 64, 100}) {
      for (int begin = 0; begin < length; begin += chunk) {
        const int count = std::min(chunk, length - begin);
        expect_rows(attention.run(three, {{count, 1}, {begin + count, 290}}), begin, count);
      }
    }
  }
}

TEST(PagedAttention, BitsDoNotDependOnCompany) {
  expect_bits_do_not_depend_on_company({.kv = {.dtype = DType::kF16}}, 330);
  expect_bits_do_not_depend_on_company({.kv = {.head_dim = 80}, .window = 70, .softcap = 30.0f},
                                       330);
  expect_bits_do_not_depend_on_company({.kv = {.head_dim = 100, .dtype = DType::kBF16}}, 330);
  expect_bits_do_not_depend_on_company(
      {.kv = {.kv_heads = 1, .head_dim = 32}, .heads = 7, .alibi = true, .sinks = true}, 530);
  expect_bits_do_not_depend_on_company(
      {.kv = {.kv_heads = 1, .head_dim = 40, .dtype = DType::kBF16}, .heads = 7, .window = 300,
       .softcap = 30.0f, .alibi = true, .sinks = true},
      530);
}

// Query tokens of 128 heads, a block each, over 40 splits: a state takes 0.3 MB. One block is
// split among the threads in waves, three are a thread's each.
TEST(PagedAttention, ScratchOfALongContextIsBounded) {
  const KvShape kv{.kv_heads = 1, .head_dim = 576, .dtype = DType::kBF16, .latent_dim = 512};
  const int length = 40 * 256 - 100;
  Attention attention({.kv = kv, .heads = 128}, {length});
  for (const std::string& isa : test::op_isas()) {
    if (isa == "scalar") continue;  // takes no splits
    SCOPED_TRACE(isa);
    for (int queries : {1, 3}) {
      SCOPED_TRACE(queries);
      CpuRun one(1, isa), two(2, isa);
      const Step step{{queries}, {length}};
      EXPECT_EQ(attention.run(two, step), attention.run(one, step));
      const size_t states = two.arena.high_water() - one.arena.high_water();
      EXPECT_LT(states, size_t{10} << 20);
    }
  }
}

TEST(PagedAttentionDeathTest, NamesWhatIsWrong) {
  Attention attention({}, {70});
  CpuRun cpu(1, "scalar");
  EXPECT_DEATH(attention.run(cpu, {{3}, {2}}), "sequence 0 has 3 query tokens");
}

}  // namespace
}  // namespace lmdeploy
