#include "nn/matrix_load.h"

#include <vector>

#include "kernels/packed_matrix.h"

namespace lmdeploy {

Status check_matrix_type(DType dtype, const std::string& what) {
  const bool plain = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
  if (plain || is_block_quantized(dtype)) return {};
  return unsupported(
      "{}: weights of type {} cannot be used; expected f32, f16, bf16 or a GGUF block type", what,
      dtype_name(dtype));
}

size_t packed_load_bytes(std::span<const LoadedSlice> slices, const BuildOptions& options) {
  std::vector<RowSource> sources;
  for (const LoadedSlice& slice : slices) {
    if (!check_matrix_type(slice.dtype, "").ok()) return 0;
    sources.push_back({slice.dtype, slice.rows, slice.cols, slice.data, slice.row_bytes, {}});
  }
  return packed_bytes(sources, options.pack_type(), options.isa);
}

}  // namespace lmdeploy
