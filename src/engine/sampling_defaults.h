// SamplingDefaults: what generation_config.json says where a request is silent.
#pragma once

#include <cstdint>
#include <optional>

namespace lmdeploy {

struct SamplingDefaults {
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
};

}  // namespace lmdeploy
