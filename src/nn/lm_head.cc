#include "nn/lm_head.h"

#include "kernels/matmul.h"
#include "kernels/softcap.h"
#include "nn/matrix_load.h"

namespace lmdeploy {

LmHead::LmHead(const Weights& weights, const BuildOptions& options, const LmHeadConfig& config,
               const EmbeddingTable& embedding)
    : rows_(options.parallel.rows_of(config.vocab)),
      matrix_(config.tied ? &embedding.matrix() : &own_), softcap_(config.softcap) {
  const std::string name = (weights / "weight").name();
  if (config.tied) {
    weights.plan().ignore(name);
    return;
  }
  Load load;
  load.name = name;
  load.sources = {{name, Shape{config.vocab, config.hidden}, rows_.begin, rows_.count}};
  load.store = [this, options, name](std::span<const LoadedSlice> slices) {
    const std::vector<int32_t> as_stored;
    ASSIGN_OR_RETURN(own_, load_matrix(slices, {&as_stored, 1}, options, name));
    return Status();
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void LmHead::forward(Ctx& ctx, const TensorView& hidden, const TensorView& logits) const {
  matmul(ctx, hidden, *matrix_, TensorView(), logits.columns(rows_.begin, rows_.count));
  if (ctx.ranks != nullptr) {
    ctx.ranks->all_gather_columns(ctx.stream, logits, rows_.begin, rows_.begin + rows_.count);
  }
  if (softcap_ > 0) softcap(ctx, logits, softcap_);
}

}  // namespace lmdeploy
