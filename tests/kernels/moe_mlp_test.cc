// moe_mlp on the CPU against one expert at a time in fp64, with experts that get no token.
#include "kernels/moe_mlp.h"

#include <cmath>
#include <cstring>

#include "kernels/gated_activation.h"
#include "kernels/matmul_gated.h"
#include "tests/kernels/matmul_inputs.h"
#include "tests/kernels/moe_reference.h"

namespace lmdeploy {
namespace {

constexpr int kExperts = 7;
constexpr int64_t kHidden = 64, kSize = 96;

// The weights of all experts as a file has them, and packed.
struct Experts {
  explicit Experts(DType format, bool with_bias = false) {
    gate_up = {.experts = kExperts, .n = 2 * kSize, .k = kHidden};
    down = {.experts = kExperts, .n = kHidden, .k = kSize};
    for (int e = 0; e < kExperts; ++e) {
      add(format, 100 + static_cast<uint64_t>(e), gate_up, file_gate_up);
      add(format, 200 + static_cast<uint64_t>(e), down, file_down);
    }
    if (with_bias) {
      gate_up_bias = test::normal_tensor(Shape{kExperts, 2 * kSize}, 5);
      down_bias = test::normal_tensor(Shape{kExperts, kHidden}, 6);
    }
  }
  MoeExperts view(Activation activation = Activation::kSilu) const {
    return {gate_up, down, gate_up_bias.view(), down_bias.view(), activation};
  }

  ExpertMatrices gate_up, down;
  std::vector<std::vector<float>> file_gate_up, file_down;
  Tensor gate_up_bias, down_bias;

 private:
  static void add(DType format, uint64_t key, ExpertMatrices& to,
                  std::vector<std::vector<float>>& values) {
    const test::FileWeight weight = test::random_weight(format, to.n, to.k, key);
    const RowSource source = weight.source();
    to.parts.push_back(pack_matrix({&source, 1}, format));
    values.emplace_back();
    std::vector<float> row(static_cast<size_t>(to.k));
    for (int64_t r = 0; r < to.n; ++r) {
      unpack_row(to.parts.back(), r, row.data());
      values.back().insert(values.back().end(), row.begin(), row.end());
    }
  }
};

struct Inputs {
  Inputs(int64_t tokens, int top_k)
      : x(test::normal_tensor(Shape{tokens, kHidden}, 1)),
        ids(Shape{tokens, top_k}, DType::kI32),
        weights(test::normal_tensor(Shape{tokens, top_k}, 3)) {
    for (int64_t i = 0; i < ids.shape().numel(); ++i) {  // experts 2 and 6 get no token
      constexpr int32_t kHit[] = {5, 0, 3, 1, 4};
      ids.data<int32_t>()[i] = kHit[(i + i / top_k) % 5];
    }
  }
  Tensor x, ids, weights;
};

double act(Activation activation, double gate, double up) {
  if (activation == Activation::kSilu) return gate / (1 + std::exp(-gate)) * up;
  gate = std::min(gate, 7.0);
  return gate / (1 + std::exp(-double{1.702f} * gate)) * (std::clamp(up, -7.0, 7.0) + 1);
}

// w [n, k] x + bias.
std::vector<double> product(const std::vector<float>& w, const std::vector<double>& x,
                            const float* bias) {
  std::vector<double> out;
  for (size_t r = 0; r < w.size() / x.size(); ++r) {
    double sum = bias == nullptr ? 0 : bias[r];
    for (size_t i = 0; i < x.size(); ++i) sum += double{w[r * x.size() + i]} * x[i];
    out.push_back(sum);
  }
  return out;
}

std::vector<double> expected_row(const Experts& experts, Activation activation,
                                 const Inputs& inputs, int64_t t) {
  const float* row = inputs.x.view().row<float>(t);
  const std::vector<double> x(row, row + kHidden);
  std::vector<double> sum(kHidden, 0);
  for (int64_t k = 0; k < inputs.ids.shape()[1]; ++k) {
    const auto e = static_cast<size_t>(inputs.ids.view().row<int32_t>(t)[k]);
    const bool biased = !experts.down_bias.empty();
    const auto bias = [&](const Tensor& all) {
      return biased ? all.view().row<float>(static_cast<int64_t>(e)) : nullptr;
    };
    const std::vector<double> both =
        product(experts.file_gate_up[e], x, bias(experts.gate_up_bias));
    std::vector<double> hidden;
    for (size_t i = 0; i < kSize; ++i) hidden.push_back(act(activation, both[i], both[i + kSize]));
    const std::vector<double> out = product(experts.file_down[e], hidden, bias(experts.down_bias));
    const double weight = inputs.weights.view().row<float>(t)[k];
    for (size_t i = 0; i < kHidden; ++i) sum[i] += weight * out[i];
  }
  return sum;
}

class MoeMlpTest : public testing::TestWithParam<std::string> {
 protected:
  Tensor run(const Experts& experts, const Inputs& inputs,
             Activation activation = Activation::kSilu) {
    Tensor out(Shape{inputs.x.shape()[0], kHidden}, DType::kF32);
    cpu_.arena.poison();
    moe_mlp(cpu_.ctx, inputs.x, inputs.ids, inputs.weights, experts.view(activation), {}, out,
            MatmulEpilogue::kStore);
    return out;
  }
  test::CpuRun cpu_{2, GetParam()};
};

TEST_P(MoeMlpTest, EqualsOneExpertAtATime) {
  for (bool with_bias : {false, true}) {
    const Experts experts(DType::kF32, with_bias);
    for (const auto& [tokens, top_k] : {std::pair<int64_t, int>{1, 2}, {5, 1}, {90, 3}}) {
      const Inputs inputs(tokens, top_k);
      const Activation activation = with_bias ? Activation::kClampedSwiglu : Activation::kSilu;
      const Tensor got = run(experts, inputs, activation);
      for (int64_t t = 0; t < tokens; ++t) {
        const std::vector<double> want = expected_row(experts, activation, inputs, t);
        for (size_t i = 0; i < kHidden; ++i) {
          ASSERT_NEAR(got.view().row<float>(t)[i], want[i], 1e-4 * (std::fabs(want[i]) + 1));
        }
      }
    }
  }
}

TEST_P(MoeMlpTest, ARowHasTheSameBitsAloneAndInCompany) {
  for (DType format : {DType::kF32, DType::kBF16}) {
    const Experts experts(format);
    const Inputs all(40, 3);
    const Tensor together = run(experts, all);
    for (int64_t t = 0; t < 40; ++t) {
      Inputs alone(1, 3);
      std::memcpy(alone.x.data<float>(), all.x.view().row<float>(t), kHidden * sizeof(float));
      std::memcpy(alone.ids.data<int32_t>(), all.ids.view().row<int32_t>(t), 3 * sizeof(int32_t));
      std::memcpy(alone.weights.data<float>(), all.weights.view().row<float>(t), 3 * sizeof(float));
      const Tensor row = run(experts, alone);
      ASSERT_EQ(std::memcmp(row.data<float>(), together.view().row<float>(t), row.bytes()), 0) << t;
    }
  }
}

// Weights that are multiplied by int8 activations: the layer is the sum of the same products alone.
TEST_P(MoeMlpTest, BlockFormatsStayAsTheyAre) {
  cpu_.ctx.batch_invariant = true;  // else AMX multiplies an expert's rows as bf16 where they are many
  for (DType format : {DType::kQ8_0, DType::kQ4_1}) {
    const Experts experts(format);
    const Inputs inputs(40, 2);
    const Tensor got = run(experts, inputs);
    for (int64_t t = 0; t < 40; ++t) {
      std::vector<float> want(kHidden, 0);
      for (int64_t j = 0; j < 2; ++j) {
        const auto e = static_cast<size_t>(inputs.ids.view().row<int32_t>(t)[j]);
        Tensor product(Shape{1, kSize}, DType::kF32), result(Shape{1, kHidden}, DType::kF32);
        matmul_gated(cpu_.ctx, inputs.x.view().rows(t, 1), experts.gate_up.parts[e], {},
                     Activation::kSilu, product);
        matmul(cpu_.ctx, product, experts.down.parts[e], {}, result);
        const float weight = inputs.weights.view().row<float>(t)[j];
        for (size_t i = 0; i < kHidden; ++i) want[i] += weight * result.data<float>()[i];
      }
      ASSERT_EQ(std::memcmp(got.view().row<float>(t), want.data(), kHidden * sizeof(float)), 0)
          << t;
    }
  }
}

TEST_P(MoeMlpTest, SharedRowsAndTheResidualJoinTheSum) {
  const Experts experts(DType::kF32);
  const Inputs inputs(9, 2);
  const Tensor plain = run(experts, inputs), shared = test::normal_tensor(Shape{9, kHidden}, 21),
               gate = test::normal_tensor(Shape{9, 1}, 22, 2);
  for (bool gated : {false, true}) {
    Tensor out = test::normal_tensor(Shape{9, kHidden}, 23);
    const Tensor before = test::normal_tensor(Shape{9, kHidden}, 23);
    moe_mlp(cpu_.ctx, inputs.x, inputs.ids, inputs.weights, experts.view(),
            {shared.view(), gated ? gate.view() : TensorView()}, out, MatmulEpilogue::kAdd);
    for (int64_t t = 0; t < 9; ++t) {
      const double factor = gated ? 1 / (1 + std::exp(-double{gate.data<float>()[t]})) : 1;
      for (int64_t i = 0; i < kHidden; ++i) {
        const double want = before.view().row<float>(t)[i] + plain.view().row<float>(t)[i] +
                            factor * shared.view().row<float>(t)[i];
        ASSERT_NEAR(out.view().row<float>(t)[i], want, 1e-5 * (std::fabs(want) + 1));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, MoeMlpTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
