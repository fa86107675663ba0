#include "nn/head_linear.h"

#include "kernels/matmul.h"
#include "nn/matrix_load.h"

namespace lmdeploy {

HeadLinear::HeadLinear(const Weights& weights, const BuildOptions& options, int heads,
                       const HeadRows& rows)
    : heads_(static_cast<size_t>(options.parallel.share(heads))) {
  const int64_t first = options.parallel.begin(heads);
  for (size_t h = 0; h < heads_.size(); ++h) {
    const int64_t begin = (first + static_cast<int64_t>(h)) * rows.stride + rows.first;
    Load load;
    load.name = (weights / rows.tensor / "weight").name();
    LoadSource source{load.name, Shape{heads * rows.stride, rows.columns}, begin, rows.rows};
    source.transposed = rows.transposed;
    load.sources = {source};
    load.store = [this, h, options, name = load.name](std::span<const LoadedSlice> slices) {
      const std::vector<int32_t> as_stored;
      ASSIGN_OR_RETURN(heads_[h], load_matrix(slices, {&as_stored, 1}, options, name));
      return Status();
    };
    load.bytes = [options](std::span<const LoadedSlice> slices) {
      return packed_load_bytes(slices, options);
    };
    weights.plan().add(std::move(load));
  }
}

void HeadLinear::forward(Ctx& ctx, const TensorView& x, int64_t x_stride, const TensorView& out,
                         int64_t out_stride) const {
  for (size_t h = 0; h < heads_.size(); ++h) {
    const PackedMatrix& matrix = heads_[h];
    const auto head = static_cast<int64_t>(h);
    matmul(ctx, x.columns(head * x_stride, matrix.k), matrix, TensorView(),
           out.columns(head * out_stride, matrix.n));
  }
}

size_t HeadLinear::bytes() const {
  size_t sum = 0;
  for (const PackedMatrix& matrix : heads_) sum += matrix.storage.bytes();
  return sum;
}

}  // namespace lmdeploy
