#include "kernels/cuda/gather_rows.h"

#include "kernels/cuda/gather_rows_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void gather_rows(Ctx& ctx, const TensorView& x, const TensorView& rows, const TensorView& out) {
  if (out.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const GatherRowsLaunch gather{.x = x.raw(),
                                .rows = rows.data<int32_t>(),
                                .out = out.raw(),
                                .x_stride = dtype_bytes(x.dtype(), x.row_stride()),
                                .rows_stride = rows.row_stride(),
                                .out_stride = dtype_bytes(out.dtype(), out.row_stride()),
                                .x_rows = x.dim(0),
                                .out_rows = out.dim(0),
                                .row_bytes = dtype_bytes(x.dtype(), x.dim(1))};
  stream.launched("gather_rows", launch_gather_rows(gather, stream.handle()));
}

}  // namespace lmdeploy::cuda
