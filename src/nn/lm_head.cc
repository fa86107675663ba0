#include "nn/lm_head.h"

#include "kernels/matmul.h"
#include "kernels/softcap.h"
#include "nn/matrix_load.h"

namespace lmdeploy {

LmHead::LmHead(const Weights& weights, const BuildOptions& options, const LmHeadConfig& config,
               const EmbeddingTable& embedding)
    : matrix_(config.tied ? &embedding.matrix() : &own_), softcap_(config.softcap) {
  const std::string name = (weights / "weight").name();
  if (config.tied) {
    weights.plan().ignore(name);
    return;
  }
  Load load;
  load.name = name;
  load.sources = {{name, Shape{config.vocab, config.hidden}}};
  load.store = [this, options, name](std::span<const LoadedSlice> slices) {
    const LoadedSlice& slice = slices[0];
    RETURN_IF_ERROR(check_matrix_type(slice.dtype, name));
    const RowSource source{slice.dtype, slice.rows, slice.cols, slice.data, slice.row_bytes, {}};
    own_ = pack_matrix({&source, 1}, options.pack_type(), options.isa,
                         options.memory.get());
    return Status();
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void LmHead::forward(Ctx& ctx, const TensorView& hidden, const TensorView& logits) const {
  matmul(ctx, hidden, *matrix_, TensorView(), logits);
  if (softcap_ > 0) softcap(ctx, logits, softcap_);
}

}  // namespace lmdeploy
