#include "kernels/softcap.h"

#include <algorithm>

#include "kernels/cpu/softcap.h"
#include "kernels/cuda/row_map.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void softcap(Ctx& ctx, const TensorView& x, float cap) {
  constexpr int64_t kGrain = 16384;  // elements worth waking a thread for
  check_view(ctx, "softcap", "x", x, DType::kF32, {kAnySize, kAnySize});
  CHECK(cap > 0, "softcap of {}", cap);
  if (!ctx.on_cpu()) return cuda::softcap(ctx, x, cap);
  const cpu::SoftcapFn cap_span = cpu::softcap_fn(cpu_stream(ctx).isa());
  const int64_t columns = x.dim(1);
  cpu_stream(ctx).pool().parallel_for(x.dim(0) * columns, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {  // the part of each row
      const int64_t row = i / columns, from = i % columns;
      const int64_t count = std::min(columns - from, end - i);
      cap_span(x.row<float>(row) + from, count, cap);
      i += count;
    }
  });
}

}  // namespace lmdeploy
