// Sampling on the device against the plain CPU sampler.
#include "kernels/device_sampling.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "kernels/cpu/sampling.h"
#include "tensor/cuda/stream.h"
#include "tests/kernels/cuda/cuda_test_support.h"
#include "tests/kernels/sampling_test_support.h"

namespace lmdeploy {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Bytes in device memory.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes)
      : memory_(Shape{static_cast<int64_t>(bytes) + 1}, DType::kU8, test::CudaRun::kDevice) {}
  template <class T>
  static DeviceBytes of(std::span<const T> values) {
    DeviceBytes bytes(values.size_bytes());
    bytes.write(values);
    return bytes;
  }
  template <class T>
  void write(std::span<const T> values) const {
    device_copy(test::CudaRun::kDevice, memory_.view().raw(), Device{}, values.data(),
                values.size_bytes());
  }
  template <class T>
  std::vector<T> read(size_t count) const {
    std::vector<T> values(count);
    device_copy(Device{}, values.data(), test::CudaRun::kDevice, memory_.view().raw(),
                count * sizeof(T));
    return values;
  }
  template <class T>
  T* data() const {
    return static_cast<T*>(memory_.view().raw());
  }

 private:
  Tensor memory_;
};

// The same logits for each row.
Tensor repeated(const std::vector<float>& logits, size_t rows) {
  const auto vocab = static_cast<int64_t>(logits.size());
  Tensor out(Shape{static_cast<int64_t>(rows), vocab}, DType::kF32);
  for (size_t r = 0; r < rows; ++r) {
    std::copy(logits.begin(), logits.end(), out.data<float>() + r * logits.size());
  }
  return out;
}

class CudaSampling : public testing::Test {
 protected:
  std::vector<SampledToken> run(const TensorView& logits, const SamplingBatch& batch,
                                const SamplingTable& table) {
    const DeviceBytes rows = DeviceBytes::of(batch.rows()), words = DeviceBytes::of(batch.words());
    const DeviceBytes out(batch.rows().size() * sizeof(SampledToken));
    Ctx ctx = gpu.ctx();
    gpu.arena().poison();
    device_sample(
        ctx, logits,
        {rows.data<const DeviceSamplingRow>(), words.data<const uint32_t>(), batch.features()},
        table, out.data<SampledToken>());
    gpu.stream().synchronize();
    return out.read<SampledToken>(batch.rows().size());
  }

  // Row r in slot r, as its first token. `logits` stays as it is.
  std::vector<SampledToken> on_gpu(const Tensor& logits, std::span<const SamplingRow> rows) {
    const int64_t vocab = logits.shape()[1];
    const SamplingTable table(test::CudaRun::kDevice, static_cast<int>(rows.size()), vocab);
    SamplingBatch batch(vocab);
    for (size_t r = 0; r < rows.size(); ++r) batch.add(rows[r], static_cast<int>(r), true);
    return run(test::to_gpu(logits), batch, table);
  }

  std::vector<SampledToken> on_cpu(const Tensor& logits, std::span<const SamplingRow> rows) {
    Tensor copy = test::copied(logits, Device{});
    std::vector<SampledToken> out(rows.size());
    sample(plain.ctx, copy, rows, out);
    return out;
  }

  SampledToken one(const std::vector<float>& logits, const SamplingRow& row) {
    return on_gpu(repeated(logits, 1), {&row, 1})[0];
  }

  std::set<int32_t> drawn_set(const std::vector<float>& logits, const SamplingRow& row) {
    std::vector<SamplingRow> rows(400, row);
    for (size_t i = 0; i < rows.size(); ++i) rows[i].position = static_cast<int64_t>(i);
    std::set<int32_t> tokens;
    for (const SampledToken& token : on_gpu(repeated(logits, 400), rows))
      tokens.insert(token.token);
    return tokens;
  }

  // How many of the rows differ from the plain sampler's; logprobs are compared where they agree.
  int differences(const Tensor& logits, std::span<const SamplingRow> rows) {
    const auto got = on_gpu(logits, rows), want = on_cpu(logits, rows);
    int different = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      if (got[r].token != want[r].token) {
        ++different;
        continue;
      }
      if (rows[r].logprobs < 0) continue;
      EXPECT_NEAR(got[r].logprob, want[r].logprob, 2e-5);
      EXPECT_EQ(got[r].top_count, want[r].top_count);
      for (int i = 0; i < std::min(got[r].top_count, want[r].top_count); ++i) {
        EXPECT_EQ(got[r].top[i].token, want[r].top[i].token) << "row " << r << " rank " << i;
        EXPECT_NEAR(got[r].top[i].logprob, want[r].top[i].logprob, 2e-5);
      }
    }
    return different;
  }

  static std::vector<int32_t> last_tokens(const SamplingTable& table) {
    std::vector<int32_t> tokens(static_cast<size_t>(table.slots()));
    device_copy(Device{}, tokens.data(), test::CudaRun::kDevice, table.last_token().raw(),
                tokens.size() * sizeof(int32_t));
    return tokens;
  }

  test::CudaRun gpu;
  test::CpuRun plain{8, "scalar"};
};

TEST_F(CudaSampling, GreedyTakesTheLowestOfEqualTokens) {
  std::vector<float> logits = test::normal_logits(70001, 1, 1);
  logits[69000] = logits[50321] = logits[50320] = 9;
  EXPECT_EQ(one(logits, {.greedy = true}).token, 50320);
  EXPECT_EQ(one(logits, {.temperature = 0}).token, 50320);
  const int32_t banned[] = {50320, -5, 1 << 30};
  EXPECT_EQ(one(logits, {.greedy = true, .banned = banned}).token, 50321);
  EXPECT_EQ(one({-0.0f, 0.0f, -1.0f}, {.greedy = true}).token, 0);
}

TEST_F(CudaSampling, TopPKeepsTheFewestTokensThatReachIt) {
  const std::vector<float> logits = test::log_of({0.1, 0.4, 0.2, 0.3});
  EXPECT_EQ(drawn_set(logits, {.top_p = 0.39f}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(logits, {.top_p = 0.41f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn_set(logits, {.top_p = 0.91f}), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(drawn_set(logits, {.top_p = 0}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(test::log_of({0.2, 0.2, 0.2, 0.2, 0.2}), {.top_p = 0.8f}),
            (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(drawn_set(logits, {.top_k = 2, .top_p = 0.5f}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(logits, {.top_p = 0.71f, .min_p = 0.6f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn_set(logits, {.min_p = 2.0f}), (std::set<int32_t>{1}));
}

TEST_F(CudaSampling, FlatVocabularyIsCutByCountAndId) {
  const std::vector<float> logits(262144, 1.5f);
  std::vector<SamplingRow> rows(60, {.top_p = 0.25f});
  for (size_t r = 0; r < rows.size(); ++r) rows[r].position = static_cast<int64_t>(r);
  rows.push_back({.top_k = 3000});
  rows.push_back({.top_k = 30000, .seed = 5});
  const auto tokens = on_gpu(repeated(logits, rows.size()), rows);
  int32_t highest = 0;
  for (size_t r = 0; r < 60; ++r) highest = std::max(highest, tokens[r].token);
  EXPECT_LT(highest, 65536);
  EXPECT_GT(highest, 50000);
  EXPECT_LT(tokens[60].token, 3000);
  EXPECT_LT(tokens[61].token, 30000);
}

TEST_F(CudaSampling, NaNAndInfinity) {
  EXPECT_EQ(one(std::vector<float>(100, kNaN), {}).token, -1);
  EXPECT_EQ(one(std::vector<float>(100, -kInfinity), {.greedy = true}).token, -1);
  const uint32_t nothing[] = {0};
  EXPECT_EQ(one({1, 2, 3}, {.top_k = 2, .allowed_mask = nothing, .logprobs = 2}).token, -1);
  std::vector<float> logits(100, kNaN);
  logits[40] = 1;
  logits[41] = -kInfinity;
  for (const SamplingRow& row : test::filter_grid()) EXPECT_EQ(one(logits, row).token, 40);
  logits[12] = logits[77] = kInfinity;
  EXPECT_EQ(one(logits, {.greedy = true}).token, 12);
  for (const SamplingRow& row : test::filter_grid()) {
    for (int32_t token : drawn_set(logits, row)) EXPECT_TRUE(token == 12 || token == 77) << token;
  }
  const SampledToken infinite = one(logits, {.greedy = true, .logprobs = 20});
  EXPECT_EQ(infinite.top_count, 2);
  EXPECT_NEAR(infinite.logprob, std::log(0.5), 1e-6);
}

// The same uniform gives the same token as the plain sampler, but for draws that fall on a border.
TEST_F(CudaSampling, AgreesWithThePlainSamplerDrawByDraw) {
  int draws = 0, different = 0;
  uint64_t key = 0;
  for (int64_t vocab : {5, 33, 129, 1000, 32003, 66000, 128256, 262144}) {
    for (double stddev : {0.0, 0.5, 3.0, 12.0}) {
      std::vector<SamplingRow> rows = test::filter_grid();
      rows.push_back({.greedy = true});
      rows.push_back({.top_k = 100, .top_p = 0.99f});
      rows.push_back({.top_k = 700, .top_p = 0.9f});
      rows.push_back({.top_k = 20000, .top_p = 0.95f, .min_p = 1e-4f});
      rows.push_back({.top_p = 0.9999f});
      rows.push_back({.temperature = 6, .top_k = 40});
      rows.push_back({.temperature = 9, .top_k = 300, .top_p = 0.9f});
      rows.push_back({.temperature = 5, .top_k = static_cast<int32_t>(vocab / 2)});
      rows.push_back({.temperature = 5, .top_k = static_cast<int32_t>(vocab / 3), .top_p = 0.7f});
      rows.push_back({.temperature = 20, .top_p = 0.9f});
      rows.push_back({.temperature = 8, .min_p = 0.02f});
      rows.push_back({.top_p = 0.6f, .min_p = 0.01f});
      for (SamplingRow& row : rows) {
        row.seed = ++key;
        row.position = static_cast<int64_t>(key % 13);
        row.logprobs = static_cast<int32_t>(key % 4) * 5 - 5;
      }
      draws += static_cast<int>(rows.size());
      different +=
          differences(repeated(test::normal_logits(vocab, ++key, stddev), rows.size()), rows);
    }
  }
  EXPECT_LE(different, draws / 500) << "of " << draws;
}

// Lists of random tokens.
struct RowLists {
  std::vector<TokenCount> seen;
  std::vector<TokenBias> bias;
  std::vector<int32_t> banned;
  std::vector<uint32_t> mask;

  RowLists(int64_t vocab, uint64_t key) {
    const auto token = [&](uint64_t i) {
      return static_cast<int32_t>(hash_random(key, i) % static_cast<uint64_t>(vocab));
    };
    std::map<int32_t, TokenCount> counts;
    for (uint64_t i = 0; i < 200; ++i) {
      TokenCount& count = counts.try_emplace(token(i), TokenCount{token(i), 0, 0}).first->second;
      ++(i % 2 == 0 ? count.in_prompt : count.generated);
    }
    for (const auto& [id, count] : counts) seen.push_back(count);
    std::set<int32_t> biased;
    for (uint64_t i = 0; i < 40; ++i) biased.insert(token(1000 + i));
    for (int32_t id : biased) bias.push_back({id, static_cast<float>(id % 7) - 2.5f});
    for (uint64_t i = 0; i < 60; ++i) banned.push_back(token(2000 + i));
    for (int64_t i = 0; i < (vocab + 31) / 32; ++i) {
      mask.push_back(static_cast<uint32_t>(hash_random(key + 1, static_cast<uint64_t>(i))));
    }
  }
};

TEST_F(CudaSampling, EditsAgreeWithThePlainSampler) {
  int draws = 0, different = 0;
  for (int64_t vocab : {40, 1000, 32003, 128256}) {
    std::vector<RowLists> lists;
    for (uint64_t i = 0; i < 48; ++i) lists.emplace_back(vocab, 100 * i);
    std::vector<SamplingRow> rows;
    for (uint64_t i = 0; i < lists.size(); ++i) {
      SamplingRow row{.greedy = i % 3 == 0,
                      .top_k = i % 3 == 1 ? 40 : 0,
                      .top_p = i % 4 == 1 ? 0.8f : 1.0f,
                      .seed = i};
      if ((i & 1) != 0) row.bias = lists[i].bias;
      if ((i & 2) != 0) row.banned = lists[i].banned;
      if ((i & 4) != 0) row.allowed_mask = lists[i].mask;
      if ((i & 8) != 0) {
        row.repetition_penalty = 1.3f;
        row.frequency_penalty = 0.4f;
        row.presence_penalty = i % 5 == 0 ? 0.7f : 0.0f;
        row.seen = lists[i].seen;
      }
      row.logprobs = static_cast<int32_t>(i % 5) - 1;
      rows.push_back(row);
    }
    const Tensor logits = test::normal_tensor(Shape{48, vocab}, 77, 3);
    draws += 48;
    different += differences(logits, rows);
  }
  EXPECT_LE(different, draws / 100) << "of " << draws;
}

// The device counts the tokens that it draws; the host never says.
TEST_F(CudaSampling, CountsItsOwnTokens) {
  constexpr int64_t kVocab = 60;
  constexpr int kSlots = 5, kSteps = 30;
  const SamplingTable table(test::CudaRun::kDevice, kSlots, kVocab);
  for (uint64_t life = 0; life < 2; ++life) {  // slots are used again
    std::vector<std::map<int32_t, TokenCount>> counts(kSlots);
    for (int s = 0; s < kSlots; ++s) {
      for (int32_t token = s; token < 20; token += 3)
        counts[static_cast<size_t>(s)][token] = {token, 1, 0};
    }
    for (int step = 0; step < kSteps; ++step) {
      const Tensor logits = test::normal_tensor(Shape{kSlots, kVocab},
                                                1000 * life + static_cast<uint64_t>(step), 0.5);
      std::vector<SamplingRow> rows(kSlots);
      std::vector<std::vector<TokenCount>> seen(kSlots);
      SamplingBatch batch(kVocab);
      for (int s = 0; s < kSlots; ++s) {
        const auto at = static_cast<size_t>(s);
        for (const auto& [id, count] : counts[at]) seen[at].push_back(count);
        rows[at] = {.greedy = s % 2 == 0,
                    .top_k = 20,
                    .repetition_penalty = s == 3 ? 1.0f : 1.4f,
                    .presence_penalty = 0.3f,
                    .frequency_penalty = 0.5f,
                    .seed = at,
                    .position = step};
        SamplingRow uploaded = rows[at];
        rows[at].seen = seen[at];
        if (step == 0) uploaded.seen = seen[at];
        batch.add(uploaded, s, step == 0);
      }
      const auto got = run(test::to_gpu(logits), batch, table);
      const auto want = on_cpu(logits, rows);
      const std::vector<int32_t> last = last_tokens(table);
      for (int s = 0; s < kSlots; ++s) {
        const int32_t token = want[static_cast<size_t>(s)].token;
        ASSERT_EQ(got[static_cast<size_t>(s)].token, token) << "slot " << s << " step " << step;
        EXPECT_EQ(last[static_cast<size_t>(s)], token);
        ++counts[static_cast<size_t>(s)]
              .try_emplace(token, TokenCount{token, 0, 0})
              .first->second.generated;
      }
    }
  }
}

TEST_F(CudaSampling, BansTheEndOfAPhraseByTheLastToken) {
  const SamplingTable table(test::CudaRun::kDevice, 2, 10);
  const Tensor logits = test::to_gpu(repeated({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 2));
  SamplingBatch batch(10);
  batch.add({.greedy = true}, 0, true);
  batch.add({.greedy = true}, 1, true);
  EXPECT_EQ(run(logits, batch, table)[1].token, 9);
  const ConditionalBan after_nine[] = {{9, 9}, {8, 3}}, after_four[] = {{9, 4}};
  batch.clear();
  batch.add({.greedy = true}, 0, false, after_nine);
  batch.add({.greedy = true}, 1, false, after_four);
  const auto tokens = run(logits, batch, table);
  EXPECT_EQ(tokens[0].token, 8);
  EXPECT_EQ(tokens[1].token, 9);
}

TEST_F(CudaSampling, PaddingTouchesNothing) {
  const SamplingTable table(test::CudaRun::kDevice, 4, 1000);
  SamplingBatch batch(1000);
  batch.add({.top_k = 5, .logprobs = 3}, 2, true);
  batch.add({.greedy = true, .repetition_penalty = 1.1f}, 0, true);
  batch.pad(8);
  const auto tokens = run(test::to_gpu(test::normal_tensor(Shape{8, 1000}, 4)), batch, table);
  for (size_t r = 2; r < 8; ++r) {
    EXPECT_EQ(tokens[r].token, -1);
    EXPECT_EQ(tokens[r].top_count, 0);
  }
  const std::vector<int32_t> last = last_tokens(table);
  EXPECT_EQ(last[2], tokens[0].token);
  EXPECT_EQ(last[0], tokens[1].token);
  EXPECT_EQ(last[1], 0);
  EXPECT_EQ(last[3], 0);
  EXPECT_EQ(tokens[0].top_count, 3);
  EXPECT_EQ(tokens[1].top_count, 0);
}

TEST_F(CudaSampling, RowsDoNotDependOnCompany) {
  constexpr int64_t kVocab = 32003;
  std::vector<SamplingRow> rows;
  for (uint64_t r = 0; r < 256; ++r) {
    const std::vector<SamplingRow> grid = test::filter_grid();
    rows.push_back(grid[r % grid.size()]);
    rows.back().seed = r;
    rows.back().greedy = r % 7 == 0;
  }
  const Tensor logits = test::normal_tensor(Shape{256, kVocab}, 9, 3);
  const auto together = on_gpu(logits, rows);
  for (int64_t begin = 0, count = 1; begin + count <= 256; begin += count, count = count % 6 + 1) {
    Tensor part(Shape{count, kVocab}, DType::kF32);
    std::copy_n(logits.data<float>() + begin * kVocab, count * kVocab, part.data<float>());
    const auto few = on_gpu(
        part, std::span(rows).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
    for (int64_t r = 0; r < count; ++r) {
      EXPECT_EQ(few[static_cast<size_t>(r)].token, together[static_cast<size_t>(begin + r)].token);
    }
  }
}

TEST_F(CudaSampling, TakesStridedRows) {
  const Tensor wide = test::normal_tensor(Shape{6, 4099}, 12, 2);
  const Tensor on_device = test::to_gpu(wide);
  Tensor narrow(Shape{6, 4096}, DType::kF32);
  SamplingBatch batch(4096);
  std::vector<SamplingRow> rows;
  for (int r = 0; r < 6; ++r) {
    std::copy_n(wide.view().row<float>(r), 4096, narrow.view().row<float>(r));
    rows.push_back({.greedy = r == 0,
                    .top_k = r == 1 ? 40 : 0,
                    .top_p = 0.7f,
                    .seed = static_cast<uint64_t>(r),
                    .logprobs = 1});
    batch.add(rows.back(), r, true);
  }
  const SamplingTable table(test::CudaRun::kDevice, 6, 4096);
  const auto got = run(on_device.view().columns(0, 4096), batch, table);
  const auto want = on_cpu(narrow, rows);
  for (size_t r = 0; r < 6; ++r) EXPECT_EQ(got[r].token, want[r].token);
}

TEST_F(CudaSampling, DrawsFollowThePlainDistribution) {
  constexpr int kDraws = 100000, kRows = 4000, kVocab = 80;
  const std::vector<float> logits = test::normal_logits(kVocab, 77, 2);
  const Tensor copies = repeated(logits, kRows);
  for (SamplingRow row : test::filter_grid()) {
    std::vector<float> edited = logits;
    std::vector<double> probability(kVocab);
    std::vector<int32_t> order(kVocab);
    ASSERT_TRUE(
        cpu::plain_distribution(edited.data(), kVocab, row, {probability.data(), order.data()}));
    std::vector<int> seen(kVocab);
    row.seed = 4242;
    for (int start = 0; start < kDraws; start += kRows) {
      std::vector<SamplingRow> rows(kRows, row);
      for (int i = 0; i < kRows; ++i) rows[static_cast<size_t>(i)].position = start + i;
      for (const SampledToken& token : on_gpu(copies, rows)) {
        ++seen[static_cast<size_t>(token.token)];
      }
    }
    for (size_t i = 0; i < kVocab; ++i) {
      if (probability[i] <= 0) {
        ASSERT_EQ(seen[i], 0) << i;
      }
    }
    EXPECT_LT(test::chi_square_excess(seen, probability, kDraws), 5)
        << "temperature " << row.temperature << " top_k " << row.top_k << " top_p " << row.top_p
        << " min_p " << row.min_p;
  }
}

TEST_F(CudaSampling, ScoresTargets) {
  for (int64_t vocab : {33, 32003, 128256}) {
    const Tensor logits = test::normal_tensor(Shape{6, vocab}, 9, 4);
    Tensor targets(Shape{6}, DType::kI32);
    const int32_t ids[] = {0, static_cast<int32_t>(vocab) - 1, 12, 7, 5, -1};
    std::copy_n(ids, 6, targets.data<int32_t>());
    const Tensor gpu_logits = test::to_gpu(logits), gpu_targets = test::to_gpu(targets);
    const DeviceBytes out(6 * sizeof(SampledToken));
    Ctx ctx = gpu.ctx();
    gpu.arena().poison();
    device_score(ctx, gpu_logits, gpu_targets, 20, out.data<SampledToken>());
    gpu.stream().synchronize();
    const auto got = out.read<SampledToken>(6);
    const std::vector<SamplingRow> rows(6, {.greedy = true, .logprobs = 20});
    const auto want = on_cpu(logits, rows);
    for (size_t r = 0; r < 6; ++r) {
      EXPECT_EQ(got[r].token, ids[r]);
      const float* row = logits.view().row<float>(static_cast<int64_t>(r));
      EXPECT_NEAR(got[r].logprob, ids[r] < 0 ? 0 : cpu::plain_logprob(row, vocab, ids[r]), 2e-5);
      ASSERT_EQ(got[r].top_count, 20);
      for (int i = 0; i < 20; ++i) EXPECT_EQ(got[r].top[i].token, want[r].top[i].token);
    }
  }
}

// One captured sampler serves steps of other rows and logits.
TEST_F(CudaSampling, ReplaysFromAGraph) {
  constexpr int64_t kVocab = 32003, kRows = 8;
  const SamplingTable table(test::CudaRun::kDevice, kRows, kVocab);
  const Tensor logits(Shape{kRows, kVocab}, DType::kF32, test::CudaRun::kDevice);
  const DeviceBytes rows(kRows * sizeof(DeviceSamplingRow)), words(1 << 20),
      out(kRows * sizeof(SampledToken));
  const SamplingFeatures all{.edits = true, .logprobs = true, .nucleus = true};
  const auto issue = [&] {
    Ctx ctx = gpu.ctx();
    device_sample(ctx, logits,
                  {rows.data<const DeviceSamplingRow>(), words.data<const uint32_t>(), all}, table,
                  out.data<SampledToken>());
  };
  issue();  // the scratch memory grows
  gpu.stream().synchronize();
  cudaStream_t stream = static_cast<cuda::CudaStream&>(gpu.stream()).handle();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  issue();
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&replay, graph, 0), cudaSuccess);
  for (uint64_t step = 0; step < 4; ++step) {
    const Tensor values = test::normal_tensor(Shape{kRows, kVocab}, 50 + step, 3);
    const RowLists lists(kVocab, step);
    std::vector<SamplingRow> wanted;
    SamplingBatch batch(kVocab);
    for (int r = 0; r < 5; ++r) {
      SamplingRow row{.greedy = r == 0,
                      .top_k = r == 1 ? 40 : 0,
                      .top_p = r == 2 ? 0.9f : 1.0f,
                      .seed = step,
                      .position = r,
                      .logprobs = r - 1};
      if (step % 2 == 1) row.allowed_mask = lists.mask;
      if (r == 3) row.bias = lists.bias;
      wanted.push_back(row);
      batch.add(row, r, true);
    }
    batch.pad(kRows);
    rows.write(batch.rows());
    words.write(batch.words());
    device_copy(test::CudaRun::kDevice, logits.view().raw(), Device{}, values.view().raw(),
                values.bytes());
    ASSERT_EQ(cudaGraphLaunch(replay, stream), cudaSuccess);
    gpu.stream().synchronize();
    const auto got = out.read<SampledToken>(kRows);
    Tensor five(Shape{5, kVocab}, DType::kF32);
    std::copy_n(values.data<float>(), 5 * kVocab, five.data<float>());
    const auto want = on_cpu(five, wanted);
    for (size_t r = 0; r < 5; ++r) EXPECT_EQ(got[r].token, want[r].token) << step << " " << r;
    EXPECT_EQ(got[5].token, -1);
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace lmdeploy
