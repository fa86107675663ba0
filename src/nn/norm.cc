#include "nn/norm.h"

#include "nn/float_load.h"

namespace lmdeploy {

RmsNorm::RmsNorm(const Weights& weights, const NormConfig& config)
    : eps_(config.eps), weight_(Shape{config.size}, DType::kF32) {
  Load load;
  load.name = (weights / "weight").name();
  load.sources = {{load.name, Shape{config.size}}};
  load.dummy_mean = config.plus_one ? 0.0f : 1.0f;
  load.store = [this, config](std::span<const LoadedSlice> slices) {
    float* w = weight_.data<float>();
    RETURN_IF_ERROR(copy_floats(slices[0], w));
    if (config.plus_one && (slices[0].baked & kBakedNormPlusOne) == 0) {
      for (int64_t i = 0; i < config.size; ++i) w[i] += 1.0f;
    }
    return Status();
  };
  weights.plan().add(std::move(load));
}

}  // namespace lmdeploy
