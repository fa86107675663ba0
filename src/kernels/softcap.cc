#include "kernels/softcap.h"

#include <cmath>

#include "kernels/cuda/softcap.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void softcap(Ctx& ctx, const TensorView& x, float cap) {
  constexpr int64_t kGrain = 4096;  // elements worth waking a thread for
  check_view(ctx, "softcap", "x", x, DType::kF32, {kAnySize, kAnySize});
  CHECK(cap > 0, "softcap of {}", cap);
  if (!ctx.on_cpu()) return cuda::softcap(ctx, x, cap);
  ThreadPool& pool = cpu_stream(ctx).pool();
  for (int64_t r = 0; r < x.dim(0); ++r) {
    float* row = x.row<float>(r);
    pool.parallel_for(x.dim(1), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row[i] = cap * std::tanh(row[i] / cap);
    });
  }
}

}  // namespace lmdeploy
