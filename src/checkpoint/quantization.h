// How a directory's weights are stored, by the quantization that its configuration names.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace lmdeploy {

// As --model-format names it: "hf", "fp8" (of any tool that keeps one scale or several beside the
// codes), "compressed-tensors", or the quantization's own method.
std::string stored_format(const json::object& config);

// Adds ModelOpt's hf_quant_config.json to the config.json beside it, where that says nothing, under
// the file's name.
void add_modelopt_quantization(const json::object& modelopt, json::object& config);

using BlockShape = std::array<int64_t, 2>;  // rows, columns

struct StoredQuantization {
  // Matrices of fp8 have scales, or the KV cache has (checkpoint/fp8_scales.h).
  bool fp8 = false;
  // Elements that share a scale, where the configuration says so.
  std::optional<BlockShape> block = std::nullopt;
};

// kUnsupported says why a checkpoint stored so cannot be loaded.
Result<StoredQuantization> read_quantization(const json::object& config, std::string_view path);

}  // namespace lmdeploy
