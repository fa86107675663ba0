// expanded_attention on a GPU against the CPU op on the same rounded inputs.
#include "kernels/expanded_attention.h"

#include <cstring>

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

constexpr ExpandedDims kDims{128, 64, 128};
constexpr int kRopeStep = 576;

struct Case {
  DType dtype;
  int heads;
  std::vector<int> queries, kv_len;  // of each sequence
};

Tensor int_tensor(const std::vector<int>& values) {
  Tensor tensor(Shape{static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), tensor.data<int32_t>());
  return tensor;
}

// The rows of all sequences: scores of a standard deviation of about 3.
struct Inputs {
  explicit Inputs(const Case& c) {
    std::vector<int> starts = {0};
    for (int count : c.queries) starts.push_back(starts.back() + count);
    start = int_tensor(starts);
    length = int_tensor(c.kv_len);
    const int64_t rows = starts.back(), heads = c.heads;
    const auto random = [&](int64_t columns, uint64_t key, double stddev) {
      return test::rounded(test::normal_tensor(Shape{rows, columns}, key, stddev), c.dtype);
    };
    q_nope = random(heads * kDims.nope + 8, 1, 1);
    q_rope = random((heads - 1) * kRopeStep + kDims.rope, 2, 1);
    keys = random(heads * (kDims.nope + kDims.value), 3, 3);
    k_rope = random(kRopeStep, 4, 3);
  }
  Tensor start, length, q_nope, q_rope, keys, k_rope;
};

struct Views {
  Views(const Case& c, const Inputs& in, const std::function<Tensor(const Tensor&)>& brought) {
    for (const Tensor* tensor : {&in.start, &in.length, &in.q_nope, &in.q_rope, &in.keys, &in.k_rope}) {
      memory.push_back(brought(*tensor));
    }
    const int64_t nope = int64_t{c.heads} * kDims.nope;
    inputs = {.q_nope = memory[2].view().columns(0, nope),
              .q_rope = memory[3],
              .rope_step = kRopeStep,
              .keys = memory[4].view().columns(0, nope),
              .k_rope = memory[5].view().columns(kRopeStep - kDims.rope, kDims.rope),
              .values = memory[4].view().columns(nope, int64_t{c.heads} * kDims.value)};
    batch = {.query_start = memory[0], .kv_len = memory[1], .block_table = {},
             .max_query_len = *std::max_element(c.queries.begin(), c.queries.end()),
             .max_kv_len = *std::max_element(c.kv_len.begin(), c.kv_len.end())};
  }
  std::vector<Tensor> memory;
  ExpandedInputs inputs;
  AttentionBatch batch;
};

// The CPU's sums are over unrounded weights; values have a standard deviation of 3.
double tolerance(DType dtype) { return dtype == DType::kF16 ? 0x1p-8 : 0x1p-5; }

void expect_equals_cpu(test::CudaRun& gpu, const Case& c) {
  const Inputs in(c);
  const Shape shape{in.q_nope.shape()[0], int64_t{c.heads} * kDims.value};
  const ExpandedParams params{.heads = c.heads, .dims = kDims, .scale = 1 / 13.856f};
  test::CpuRun cpu(0, CpuIsa::detect().name());
  const auto of_cpu = [](const Tensor& x) {
    return x.dtype() == DType::kI32 ? test::copied(x, Device{}) : test::as_f32(x);
  };
  const Views host(c, in, of_cpu), device(c, in, test::to_gpu);
  Tensor want(shape, DType::kF32);
  std::fill_n(want.data<float>(), shape.numel(), 5.0f);
  const Tensor got = test::to_gpu(test::rounded(want, c.dtype));
  expanded_attention(cpu.ctx, host.inputs, host.batch, params, want);
  Ctx ctx = gpu.ctx();
  expanded_attention(ctx, device.inputs, device.batch, params, got);
  gpu.stream().synchronize();
  test::expect_close(test::to_host(got), want, tolerance(c.dtype), dtype_name(c.dtype));
}

class CudaExpandedAttention : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!can_expand_attention(gpu_.stream(), GetParam(), kDims)) GTEST_SKIP() << "needs Hopper";
  }
  void expect(int heads, const std::vector<int>& queries, const std::vector<int>& kv_len) {
    SCOPED_TRACE(testing::Message() << heads << " heads, " << queries.size() << " sequences, "
                                    << queries[0] << " ..");
    expect_equals_cpu(gpu_, {GetParam(), heads, queries, kv_len});
  }
  test::CudaRun gpu_;
};

TEST_P(CudaExpandedAttention, PromptsOfEveryBorderLength) {
  for (int length : {9, 63, 64, 65, 127, 128, 129, 191, 193, 255, 257, 700}) {
    expect(3, {length}, {length});
  }
  expect(16, {1100}, {1100});
}

TEST_P(CudaExpandedAttention, LeavesOtherRowsAlone) {
  expect(2, {1, 300, 8, 9, 40, 129, 1}, {77, 300, 8, 9, 90, 129, 1});
  expect(2, {5, 1}, {5, 900});  // nothing to do
}

TEST_P(CudaExpandedAttention, ARowDependsOnItsSequenceAlone) {
  const Case c{GetParam(), 4, {200, 333, 64}, {200, 333, 64}};
  const Inputs in(c);
  const Views all(c, in, test::to_gpu);
  const ExpandedParams params{.heads = 4, .dims = kDims, .scale = 0.1f};
  const Tensor together(Shape{597, 512}, c.dtype, test::CudaRun::kDevice);
  Ctx ctx = gpu_.ctx();
  expanded_attention(ctx, all.inputs, all.batch, params, together);
  const auto second = [](const TensorView& x) { return x.rows(200, 333); };
  const Tensor start = test::to_gpu(int_tensor({0, 333})), length = test::to_gpu(int_tensor({333}));
  const Tensor alone(Shape{333, 512}, c.dtype, test::CudaRun::kDevice);
  ExpandedInputs rows = all.inputs;
  for (TensorView* view : {&rows.q_nope, &rows.q_rope, &rows.keys, &rows.k_rope, &rows.values}) {
    *view = second(*view);
  }
  expanded_attention(ctx, rows, {start, length, {}, 333, 333}, params, alone);
  gpu_.stream().synchronize();
  const Tensor a = test::to_host(together), b = test::to_host(alone);
  EXPECT_EQ(std::memcmp(second(a).raw(), b.view().raw(), b.bytes()), 0);
}

INSTANTIATE_TEST_SUITE_P(Types, CudaExpandedAttention,
                         testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
