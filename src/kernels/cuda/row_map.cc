#include "kernels/cuda/row_map.h"

#include "kernels/cuda/row_map_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

namespace {

void map_rows(Ctx& ctx, const char* op, const TensorView& x, RowMap map, float parameter = 0) {
  if (x.dim(0) == 0) return;
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RowMapLaunch rows{.dtype = x.dtype(),
                          .map = map,
                          .parameter = parameter,
                          .x = x.raw(),
                          .stride = x.row_stride(),
                          .rows = x.dim(0),
                          .size = x.dim(1)};
  stream.launched(op, launch_row_map(rows, stream.handle()));
}

}  // namespace

void scale(Ctx& ctx, const TensorView& x, float factor) {
  map_rows(ctx, "scale", x, RowMap::kScale, factor);
}

void clamp(Ctx& ctx, const TensorView& x, float limit) {
  map_rows(ctx, "clamp", x, RowMap::kClamp, limit);
}

void softcap(Ctx& ctx, const TensorView& x, float cap) {
  map_rows(ctx, "softcap", x, RowMap::kSoftcap, cap);
}

// The op has refused what needs a gate.
void apply_activation(Ctx& ctx, const TensorView& x, Activation activation) {
  const RowMap map = activation == Activation::kSilu   ? RowMap::kSilu
                     : activation == Activation::kGelu ? RowMap::kGelu
                                                       : RowMap::kGeluTanh;
  map_rows(ctx, "apply_activation", x, map);
}

}  // namespace lmdeploy::cuda
