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
                               int64_t hidden, float scale, bool scale_rounded)
    : rows_(options.parallel.rows_of(vocab)), scale_(scale) {
  Load load;
  load.name = (weights / "weight").name();
  load.sources = {{load.name, Shape{vocab, hidden}, rows_.begin, rows_.count}};
  load.store = [this, options, scale_rounded, name = load.name](std::span<const LoadedSlice> slices) {
    const std::vector<int32_t> as_stored;
    ASSIGN_OR_RETURN(table_, load_matrix(slices, {&as_stored, 1}, options, name));
    if (scale_rounded) scale_ = rounded_to(table_.format, scale_);
    return Status();
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void EmbeddingTable::forward(const Step& step, const TensorView& out) const {
  embedding(step.ctx, step.batch.token_ids, table_, rows_.begin, scale_, out);
  if (step.ctx.ranks != nullptr) step.ctx.ranks->all_reduce(step.ctx.stream, out);
}

}  // namespace lmdeploy
