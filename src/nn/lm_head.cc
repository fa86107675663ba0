#include "nn/lm_head.h"

#include "kernels/matmul.h"
#include "kernels/scale.h"
#include "kernels/softcap.h"
#include "nn/float_load.h"
#include "nn/matrix_load.h"
#include "nn/unit_rows.h"

namespace lmdeploy {

LmHead::LmHead(const Weights& weights, const BuildOptions& options, const LmHeadConfig& config,
               const EmbeddingTable& embedding)
    : rows_(options.parallel.rows_of(config.vocab)),
      matrix_(config.tied ? &embedding.matrix() : &own_),
      scale_(config.scale),
      softcap_(config.softcap) {
  if (config.tied) {
    weights.plan().ignore((weights / "weight").name());
    return;
  }
  declare_weight(weights, options, config);
  declare_bias(weights, options, config);
}

void LmHead::declare_weight(const Weights& weights, const BuildOptions& options,
                            const LmHeadConfig& config) {
  Load load;
  load.name = (weights / "weight").name();
  load.sources = {{load.name, Shape{config.vocab, config.hidden}, rows_.begin, rows_.count}};
  load.store = [this, options, name = load.name,
                unit_rows = config.unit_rows](std::span<const LoadedSlice> slices) {
    std::vector<std::byte> divided;
    LoadedSlice slice = slices[0];
    if (unit_rows) {
      ASSIGN_OR_RETURN(slice, divide_rows(slices[0], name, divided));
    }
    const std::vector<int32_t> as_stored;
    ASSIGN_OR_RETURN(own_, load_matrix({&slice, 1}, {&as_stored, 1}, options, name));
    return Status();
  };
  load.bytes = [options](std::span<const LoadedSlice> slices) {
    return packed_load_bytes(slices, options);
  };
  weights.plan().add(std::move(load));
}

void LmHead::declare_bias(const Weights& weights, const BuildOptions& options,
                          const LmHeadConfig& config) {
  Load load;
  load.name = (weights / "bias").name();
  load.sources = {{load.name, Shape{config.vocab}, rows_.begin, rows_.count}};
  load.store = [this, options](std::span<const LoadedSlice> slices) {
    std::vector<float> bias(static_cast<size_t>(rows_.count));
    RETURN_IF_ERROR(copy_floats(slices[0], bias.data()));
    bias_ = float_tensor(bias, Shape{rows_.count}, options);
    return Status();
  };
  load.absent = [] {};
  weights.plan().add(std::move(load));
}

void LmHead::forward(Ctx& ctx, const TensorView& hidden, const TensorView& logits) const {
  matmul(ctx, hidden, *matrix_, bias_, logits.columns(rows_.begin, rows_.count));
  if (ctx.ranks != nullptr) {
    ctx.ranks->all_gather_columns(ctx.stream, logits, rows_.begin, rows_.begin + rows_.count);
  }
  if (scale_ != 1) scale(ctx, logits, scale_);
  if (softcap_ > 0) softcap(ctx, logits, softcap_);
}

}  // namespace lmdeploy
