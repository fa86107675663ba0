#include "nn/embedding_table.h"

#include "kernels/embedding.h"
#include "nn/matrix_load.h"

namespace lmdeploy {
namespace {

float rounded_to(DType dtype, float value) {
  if (dtype == DType::kBF16) return to_float(to_bf16(value));
  if (dtype == DType::kF16) return to_float(to_f16(value));
  return value;
}

}  // namespace

EmbeddingTable::EmbeddingTable(const Weights& weights, const BuildOptions& options, int64_t vocab,
                               int64_t hidden, float scale)
    : scale_(scale) {
  Load load;
  load.name = (weights / "weight").name();
  load.sources = {{load.name, Shape{vocab, hidden}}};
  load.store = [this, options, name = load.name](std::span<const LoadedSlice> slices) {
    const LoadedSlice& slice = slices[0];
    RETURN_IF_ERROR(check_matrix_type(slice.dtype, name));
    const RowSource source{slice.dtype, slice.rows, slice.cols, slice.data, slice.row_bytes, {}};
    table_ = pack_matrix({&source, 1}, options.pack_type(), options.isa,
                         options.memory.get());
    scale_ = rounded_to(table_.format, scale_);
    return Status();
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void EmbeddingTable::forward(const Step& step, const TensorView& out) const {
  embedding(step.ctx, step.batch.token_ids, table_, scale_, out);
}

}  // namespace lmdeploy
