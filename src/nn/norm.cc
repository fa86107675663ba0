#include "nn/norm.h"

#include "nn/float_load.h"

namespace lmdeploy {

RmsNorm::RmsNorm(const Weights& weights, const BuildOptions& options, const NormConfig& config)
    : eps_(config.eps) {
  Load load;
  load.name = (weights / "weight").name();
  load.sources = {{load.name, Shape{config.size}}};
  load.dummy_mean = config.plus_one ? 0.0f : 1.0f;
  load.store = [this, options, config](std::span<const LoadedSlice> slices) {
    std::vector<float> weight(static_cast<size_t>(config.size));
    RETURN_IF_ERROR(copy_floats(slices[0], weight.data()));
    if (config.plus_one && (slices[0].baked & kBakedNormPlusOne) == 0) {
      for (float& w : weight) w += 1.0f;
    }
    weight_ = float_tensor(weight, Shape{config.size}, options);
    return Status();
  };
  weights.plan().add(std::move(load));
}

LayerNorm::LayerNorm(const Weights& weights, const BuildOptions& options, const NormConfig& config)
    : eps_(config.eps) {
  const auto vector_load = [&](const char* name, Tensor& to) {
    Load load;
    load.name = (weights / name).name();
    load.sources = {{load.name, Shape{config.size}}};
    load.store = [&to, options, size = config.size](std::span<const LoadedSlice> slices) {
      std::vector<float> values(static_cast<size_t>(size));
      RETURN_IF_ERROR(copy_floats(slices[0], values.data()));
      to = float_tensor(values, Shape{size}, options);
      return Status();
    };
    return load;
  };
  Load weight = vector_load("weight", weight_);
  weight.dummy_mean = 1.0f;
  weights.plan().add(std::move(weight));
  Load bias = vector_load("bias", bias_);
  bias.absent = [] {};
  weights.plan().add(std::move(bias));
}

}  // namespace lmdeploy
