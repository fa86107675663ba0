// expanded_attention on the CPU against its formula in fp64.
#include "kernels/expanded_attention.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

TEST(ExpandedAttention, WholePromptsAreCausalAndOthersLeftAlone) {
  constexpr int kHeads = 2, kNope = 6, kRope = 4, kValue = 5, kStep = 9;
  constexpr int64_t kRows = 35;
  const Tensor q_nope = test::normal_tensor(Shape{kRows, kHeads * kNope}, 1),
               q_rope = test::normal_tensor(Shape{kRows, kStep + kRope}, 2),
               keys = test::normal_tensor(Shape{kRows, kHeads * kNope}, 3, 2),
               k_rope = test::normal_tensor(Shape{kRows, kRope}, 4, 2),
               values = test::normal_tensor(Shape{kRows, kHeads * kValue}, 5);
  Tensor out(Shape{kRows, kHeads * kValue}, DType::kF32);
  std::fill_n(out.data<float>(), out.shape().numel(), 7.0f);
  // A whole prompt of 12, one of 8 (short), the end of a longer context, a whole one of 9.
  const int starts[] = {0, 12, 20, 26, 35}, lengths[] = {12, 8, 30, 9};
  Tensor start(Shape{5}, DType::kI32), length(Shape{4}, DType::kI32);
  std::copy_n(starts, 5, start.data<int32_t>());
  std::copy_n(lengths, 4, length.data<int32_t>());
  test::CpuRun cpu(2, "scalar");
  expanded_attention(cpu.ctx, {q_nope, q_rope, kStep, keys, k_rope, values},
                     {start, length, {}, 12, 30},
                     {.heads = kHeads, .dims = {kNope, kRope, kValue}, .scale = 0.3f}, out);
  for (int b = 0; b < 4; ++b) {
    const bool whole = b == 0 || b == 3;
    for (int64_t t = starts[b]; t < starts[b + 1]; ++t) {
      for (int head = 0; head < kHeads; ++head) {
        std::vector<double> want(kValue, whole ? 0.0 : 7.0);
        double sum = 0;
        for (int64_t s = starts[b]; whole && s <= t; ++s) {
          double dot = 0;
          for (int i = 0; i < kNope; ++i) {
            dot += double{q_nope.view().row<float>(t)[head * kNope + i]} *
                   keys.view().row<float>(s)[head * kNope + i];
          }
          for (int i = 0; i < kRope; ++i) {
            dot += double{q_rope.view().row<float>(t)[head * kStep + i]} *
                   k_rope.view().row<float>(s)[i];
          }
          const double weight = std::exp(0.3 * dot);
          sum += weight;
          for (int i = 0; i < kValue; ++i) {
            want[static_cast<size_t>(i)] += weight * values.view().row<float>(s)[head * kValue + i];
          }
        }
        for (int i = 0; i < kValue; ++i) {
          ASSERT_NEAR(out.view().row<float>(t)[head * kValue + i],
                      want[static_cast<size_t>(i)] / (whole ? sum : 1), 2e-5)
              << "row " << t << " head " << head;
        }
      }
    }
  }
}

}  // namespace
}  // namespace lmdeploy
