// moe_mlp: the gated MLPs of a mixture of experts, after routing (kernels/moe_route.h).
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"
#include "kernels/expert_matrices.h"
#include "kernels/matmul.h"

namespace lmdeploy {

struct MoeExperts {
  const ExpertMatrices& gate_up;  // [2 I, H] an expert: gate in rows [0, I), up in [I, 2 I)
  const ExpertMatrices& down;     // [H, I] an expert
  TensorView gate_up_bias;        // f32 [E, 2 I], or empty
  TensorView down_bias;           // f32 [E, H], or empty
  Activation activation = Activation::kSilu;
};

// The output of experts that every token goes to.
struct MoeShared {
  TensorView rows;  // [T, H] of the activations' type, or empty: there are none
  TensorView gate;  // f32 [T, 1]: sigmoid(gate[t]) multiplies row t; empty: 1
};

// x [T, H]; ids i32 [T, K] within [0, E) and weights f32 [T, K]; out [T, H] is stored or added to:
//   out[t] = sum over j of weights[t][j] * mlp_{ids[t][j]}(x[t])  + shared
// with the terms of a row added in the order of j, in fp32, and rounded once. x and out f32 (CUDA:
// f32, f16 or bf16, the type of the matrices; what lies between the projections has that type too).
// Only the matrices of experts that some token goes to are read, each once for all of its tokens.
// A row's bits do not depend on the other rows nor on T.
void moe_mlp(Ctx& ctx, const TensorView& x, const TensorView& ids, const TensorView& weights,
             const MoeExperts& experts, const MoeShared& shared, const TensorView& out,
             MatmulEpilogue epilogue);

}  // namespace lmdeploy
