#include "kernels/cuda/moe_mlp.h"

#include <algorithm>

#include "kernels/cuda/gemm_plan.h"
#include "kernels/cuda/gemm_sm90.h"
#include "kernels/cuda/moe_mlp_launch.h"
#include "kernels/gated_activation.h"
#include "kernels/gather_rows.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

namespace {

// The kernels that run the products.
enum class Path { kPlain, kMma, kSm90 };

Path path_of(const CudaStream& stream, const MoeExperts& experts, DType dtype) {
  const bool vectors = experts.down.n % 8 == 0 && experts.down.k % 8 == 0;
  if (dtype == DType::kF32 || !vectors || stream.properties().compute_capability < 80) {
    return Path::kPlain;
  }
  return stream.hopper() && !stream.portable() ? Path::kSm90 : Path::kMma;
}

// Everything that the steps of one call share.
class MoeCall {
 public:
  MoeCall(Ctx& ctx, const TensorView& x, const TensorView& ids, const MoeExperts& experts)
      : ctx_(ctx),
        stream_(static_cast<CudaStream&>(ctx.stream)),
        experts_(experts),
        dtype_(x.dtype()),
        path_(path_of(stream_, experts, dtype_)),
        tokens_(x.dim(0)),
        top_k_(ids.dim(1)),
        pairs_(tokens_ * top_k_) {}

  void run(const TensorView& x, const TensorView& ids, const TensorView& weights,
           const MoeShared& shared, const TensorView& out, bool add) {
    const auto* places = sort_by_expert(ids);
    // Both of them: the products' input has been read when their output comes.
    const TensorView rows = ctx_.scratch.allocate(Shape{pairs_, x.dim(1)}, dtype_);
    gather_rows(ctx_, x, row_tokens_, rows);
    const TensorView product = ctx_.scratch.allocate(Shape{pairs_, experts_.down.k}, dtype_);
    gate_and_up(rows, product);
    multiply(product, experts_.down, experts_.down_bias, rows, {});
    combine(rows, places, weights, shared, out, add);
  }

 private:
  int tile_t() const {
    if (path_ == Path::kPlain) return kGemmPlainTile;
    if (path_ == Path::kSm90) return plan(experts_.down.n).tile_t;
    return tokens_ <= kGemmMmaTiles[0] ? kGemmMmaTiles[0] : kGemmMmaTiles[1];
  }
  GemmPlan plan(int64_t n) const {
    return plan_grouped_gemm(pairs_, tokens_, experts_.down.experts, n,
                             stream_.properties().multiprocessors);
  }

  // Fills groups_ and row_tokens_; returns the rows of the pairs.
  const int32_t* sort_by_expert(const TensorView& ids) {
    const int matrices = experts_.down.experts;
    auto* groups = ctx_.scratch.allocate<GemmGroup>(matrices);
    int* totals = ctx_.scratch.allocate<int>(2);
    auto* places = ctx_.scratch.allocate<int32_t>(pairs_);
    row_tokens_ = ctx_.scratch.allocate(Shape{pairs_}, DType::kI32);
    groups_ = {.groups = groups, .totals = totals, .tile_t = tile_t(), .matrices = matrices};
    groups_.most_tiles =
        static_cast<int>(std::min<int64_t>(matrices, pairs_) + pairs_ / groups_.tile_t);
    const MoeGroupLaunch group{.ids = ids.data<int32_t>(),
                               .tokens = row_tokens_.data<int32_t>(),
                               .places = places,
                               .groups = groups,
                               .totals = totals,
                               .pairs = static_cast<int>(pairs_),
                               .top_k = static_cast<int>(top_k_),
                               .experts = matrices,
                               .tile_t = groups_.tile_t};
    stream_.launched("moe_group", launch_moe_group(group, stream_.handle()));
    return places;
  }

  void gate_and_up(const TensorView& rows, const TensorView& product) {
    if (path_ == Path::kSm90) {
      const GemmGate gate{.on = true,
                          .activation = experts_.activation,
                          .bias = experts_.gate_up_bias.data<float>()};
      return multiply(rows, experts_.gate_up, {}, product, gate);
    }
    ArenaScope scope(ctx_.scratch);
    const TensorView gate_up = ctx_.scratch.allocate(Shape{pairs_, experts_.gate_up.n}, dtype_);
    multiply(rows, experts_.gate_up, experts_.gate_up_bias, gate_up, {});
    gated_activation(ctx_, gate_up, experts_.activation, product);
  }

  // Each row of x times its expert's matrix.
  void multiply(const TensorView& x, const ExpertMatrices& matrices, const TensorView& bias,
                const TensorView& out, const GemmGate& gate) {
    const GemmLaunch gemm{.x = x.raw(),
                          .weights = matrices.parts[0].storage.view().raw(),
                          .x_stride = x.row_stride(),
                          .k = matrices.k,
                          .output = {.out = out.raw(),
                                     .stride = out.row_stride(),
                                     .bias = bias.data<float>(),
                                     .rows = pairs_,
                                     .n = static_cast<int>(out.dim(1)),
                                     .add = false,
                                     .f32 = dtype_ == DType::kF32,
                                     .vectors = out.dim(1) % 8 == 0},
                          .groups = groups_};
    stream_.launched("moe_mlp", launch(gemm, matrices.n, gate));
  }

  cudaError_t launch(const GemmLaunch& gemm, int64_t n, const GemmGate& gate) const {
    switch (path_) {
      case Path::kSm90:
        return launch_matmul_sm90(gemm, dtype_, plan(n), stream_.properties().multiprocessors,
                                  stream_.handle(), gate);
      case Path::kMma: return launch_matmul_mma(gemm, dtype_, stream_.handle());
      case Path::kPlain: break;
    }
    return launch_matmul_plain(gemm, dtype_, stream_.handle());
  }

  void combine(const TensorView& rows, const int32_t* places, const TensorView& weights,
               const MoeShared& shared, const TensorView& out, bool add) {
    const MoeCombineLaunch combine{.dtype = dtype_,
                                   .rows = rows.raw(),
                                   .places = places,
                                   .weights = weights.data<float>(),
                                   .shared = shared.rows.raw(),
                                   .gate = shared.gate.data<float>(),
                                   .out = out.raw(),
                                   .shared_stride = shared.rows.row_stride(),
                                   .gate_stride = shared.gate.row_stride(),
                                   .out_stride = out.row_stride(),
                                   .tokens = tokens_,
                                   .size = out.dim(1),
                                   .top_k = static_cast<int>(top_k_),
                                   .add = add};
    stream_.launched("moe_combine", launch_moe_combine(combine, stream_.handle()));
  }

  Ctx& ctx_;
  CudaStream& stream_;
  const MoeExperts& experts_;
  const DType dtype_;
  const Path path_;
  const int64_t tokens_, top_k_, pairs_;
  GemmGroups groups_;
  TensorView row_tokens_;  // i32 [pairs]: the token of each row that goes to an expert
};

}  // namespace

void moe_mlp(Ctx& ctx, const TensorView& x, const TensorView& ids, const TensorView& weights,
             const MoeExperts& experts, const MoeShared& shared, const TensorView& out,
             MatmulEpilogue epilogue) {
  const DeviceGuard guard(ctx.stream.device().index);
  ArenaScope scope(ctx.scratch);
  MoeCall(ctx, x, ids, experts).run(x, ids, weights, shared, out, epilogue == MatmulEpilogue::kAdd);
}

}  // namespace lmdeploy::cuda
