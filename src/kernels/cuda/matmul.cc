#include "kernels/cuda/matmul.h"

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm_plan.h"
#include "kernels/cuda/gemm_sm90.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

namespace {

// The kernels that may run a product, from the most specialized on.
enum class Path { kPlain, kMma, kSm90, kCublasLt };

bool sixteen_byte_rows(const void* data, int64_t stride, int64_t element_bytes) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride * element_bytes % 16 == 0;
}

// Where cuBLASLt is the faster one on an H100 (bench/results/2026-11-23-cuda-matmul.md). Its
// kernels overlap with neither the kernel before nor the one after, so it has to be clearly faster.
bool library_is_faster(int64_t rows, int64_t n, int64_t k) {
  const bool is_small = n < 4096 || k < 4096;
  return rows > 128 || (rows > 64 && n < 12000) || (rows > 32 && n < 12000 && is_small);
}

// Up to here our own product with the activation in it is faster than cuBLASLt's and a kernel for
// the activation.
constexpr int64_t kMostGatedRows = 128;

GemmLaunch gemm_of(const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                   const TensorView& out, MatmulEpilogue epilogue) {
  const bool f32 = out.dtype() == DType::kF32;
  return {.x = x.raw(),
          .weights = w.storage.view().raw(),
          .x_stride = x.row_stride(),
          .k = w.k,
          .output = {.out = out.raw(),
                     .stride = out.row_stride(),
                     .bias = bias.data<float>(),
                     .rows = x.dim(0),
                     .n = static_cast<int>(w.n),
                     .add = epilogue == MatmulEpilogue::kAdd,
                     .f32 = f32,
                     .vectors = sixteen_byte_rows(out.raw(), out.row_stride(), f32 ? 4 : 2)}};
}

bool fits_tensor_cores(const CudaStream& stream, const GemmLaunch& gemm, DType dtype) {
  return dtype != DType::kF32 && sixteen_byte_rows(gemm.x, gemm.x_stride, 2) &&
         sixteen_byte_rows(gemm.weights, gemm.k, 2) && stream.properties().compute_capability >= 80;
}

Path path_of(const Ctx& ctx, const CudaStream& stream, const GemmLaunch& gemm, DType dtype) {
  if (!fits_tensor_cores(stream, gemm, dtype)) return Path::kPlain;
  if (stream.portable()) return Path::kMma;
  const GemmOutput& out = gemm.output;
  if (!ctx.batch_invariant && library_is_faster(out.rows, out.n, gemm.k) && out.bias == nullptr &&
      out.vectors) {
    return Path::kCublasLt;
  }
  return stream.hopper() ? Path::kSm90 : Path::kMma;
}

bool multiply_with_library(Ctx& ctx, CudaStream& stream, const GemmLaunch& gemm, DType dtype) {
  CublasLt& library = stream.state<CublasLt>();
  if (!library.found()) return false;
  ArenaScope scope(ctx.scratch);
  const GemmOutput& out = gemm.output;
  const CublasLt::Product product{.dtype = dtype,
                                  .x = gemm.x,
                                  .weights = gemm.weights,
                                  .out = out.out,
                                  .x_stride = gemm.x_stride,
                                  .out_stride = out.stride,
                                  .rows = out.rows,
                                  .n = out.n,
                                  .k = gemm.k,
                                  .f32 = out.f32,
                                  .add = out.add};
  void* workspace = ctx.scratch.allocate<std::byte>(CublasLt::kWorkspaceBytes);
  return library.multiply(product, workspace, stream.handle());
}

GemmPlan plan_of(const GemmLaunch& gemm, int multiprocessors, bool batch_invariant) {
  const GemmOutput& out = gemm.output;
  return gemm.heads.count > 1
             ? plan_heads_gemm(out.rows, gemm.heads.count, out.n, multiprocessors)
             : plan_gemm(out.rows, out.n, gemm.k, multiprocessors, batch_invariant);
}

cudaError_t launch_on(Path path, const Ctx& ctx, const CudaStream& stream, const GemmLaunch& gemm,
                      DType dtype) {
  const int multiprocessors = stream.properties().multiprocessors;
  switch (path) {
    case Path::kSm90:
      return launch_matmul_sm90(gemm, dtype, plan_of(gemm, multiprocessors, ctx.batch_invariant),
                                multiprocessors, stream.handle());
    case Path::kMma: return launch_matmul_mma(gemm, dtype, stream.handle());
    default: return launch_matmul_plain(gemm, dtype, stream.handle());
  }
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue) {
  if (x.dim(0) == 0) return;
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const GemmLaunch gemm = gemm_of(x, w, bias, out, epilogue);
  Path path = path_of(ctx, stream, gemm, w.format);
  if (path == Path::kCublasLt) {
    if (multiply_with_library(ctx, stream, gemm, w.format)) {
      return stream.launched("matmul", cudaPeekAtLastError());
    }
    path = stream.hopper() ? Path::kSm90 : Path::kMma;
  }
  stream.launched("matmul", launch_on(path, ctx, stream, gemm, w.format));
}

bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out) {
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  GemmLaunch gemm = gemm_of(x, w, bias, out, MatmulEpilogue::kStore);
  if (!stream.hopper() || !bias.empty() || !fits_tensor_cores(stream, gemm, w.format)) return false;
  if (!ctx.batch_invariant && x.dim(0) > kMostGatedRows) return false;
  const int multiprocessors = stream.properties().multiprocessors;
  const GemmPlan plan = plan_gemm(x.dim(0), w.n, w.k, multiprocessors, ctx.batch_invariant);
  if (plan.split > 1) return false;
  gemm.output.n = static_cast<int>(out.dim(1));
  const DeviceGuard guard(stream.device().index);
  stream.launched("matmul_gated",
                  launch_matmul_sm90(gemm, w.format, plan, multiprocessors, stream.handle(),
                                     {.on = true, .activation = activation}));
  return true;
}

void matmul_heads(Ctx& ctx, const TensorView& x, int64_t x_step, const HeadMatrices& w,
                  const TensorView& out, int64_t out_step) {
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const DType dtype = w.parts[0].format;
  GemmLaunch gemm = gemm_of(x, w.parts[0], TensorView(), out, MatmulEpilogue::kStore);
  gemm.heads = {.count = w.heads, .x_step = x_step, .out_step = out_step};
  gemm.output.n = static_cast<int>(w.n);
  gemm.output.vectors = gemm.output.vectors && out_step % 8 == 0;
  const bool aligned = fits_tensor_cores(stream, gemm, dtype) && x_step % 8 == 0;
  // A box of x that is wider than what the head has left of k would bring the next head's columns.
  const bool whole_boxes = w.k % kGemmSm90BlockK == 0;
  const Path path = !aligned                         ? Path::kPlain
                    : stream.hopper() && whole_boxes ? Path::kSm90
                                                     : Path::kMma;
  stream.launched("matmul_heads", launch_on(path, ctx, stream, gemm, dtype));
}

}  // namespace lmdeploy::cuda
