#include "kernels/cuda/embedding.h"

#include "kernels/cuda/embedding_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, int64_t first_id,
               float scale, const TensorView& out) {
  if (ids.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const EmbeddingLaunch lookup{.dtype = out.dtype(),
                               .ids = ids.data<int32_t>(),
                               .table = table.storage.view().raw(),
                               .out = out.raw(),
                               .ids_stride = ids.row_stride(),
                               .out_stride = out.row_stride(),
                               .rows = ids.dim(0),
                               .first_id = first_id,
                               .table_rows = table.n,
                               .size = table.k,
                               .scale = scale};
  stream.launched("embedding", launch_embedding(lookup, stream.handle()));
}

}  // namespace lmdeploy::cuda
