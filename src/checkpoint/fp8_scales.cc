#include "checkpoint/fp8_scales.h"

#include <algorithm>

namespace lmdeploy {

namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::array<std::string_view, 2> kScales = {".weight_scale_inv", ".weight_scale"};
// Of numbers that are not in fp8 here: activations and the KV cache.
constexpr std::array<std::string_view, 8> kUnused = {
    ".input_scale", ".input_scale_ub", ".output_scale", ".kv_scale",
    ".k_scale",     ".v_scale",        ".q_scale",      ".prob_scale"};

using Tensors = std::map<std::string, TensorRecord, std::less<>>;

int64_t blocks_of(int64_t extent, int64_t block) { return extent / block + (extent % block != 0); }

Tensors::iterator find_scales(std::string_view matrix, Tensors& tensors) {
  if (!matrix.ends_with(kWeight)) return tensors.end();
  const std::string_view name = matrix.substr(0, matrix.size() - kWeight.size());
  for (const std::string_view suffix : kScales) {
    const auto found = tensors.find(fmt::format("{}{}", name, suffix));
    if (found != tensors.end()) return found;
  }
  return tensors.end();
}

// Rows and columns that share one of the scales; nullopt: these are no scales of the matrix.
std::optional<BlockShape> shared_by(const Shape& scales, const Shape& matrix,
                                    const std::optional<BlockShape>& block) {
  const int64_t n = matrix[0], k = matrix[1];
  if (block && scales == Shape{blocks_of(n, (*block)[0]), blocks_of(k, (*block)[1])}) return block;
  if (scales.numel() == 1) return {{std::max<int64_t>(n, 1), std::max<int64_t>(k, 1)}};
  if (scales == Shape{n, 1} || scales == Shape{n}) return {{1, std::max<int64_t>(k, 1)}};
  return std::nullopt;
}

std::string expected_shapes(const Shape& matrix, const std::optional<BlockShape>& block) {
  std::string shapes = fmt::format("[1] or {}", Shape{matrix[0], 1}.to_string());
  if (!block) return shapes;
  const Shape blocks{blocks_of(matrix[0], (*block)[0]), blocks_of(matrix[1], (*block)[1])};
  return fmt::format("{} for blocks of {} x {}, {}", blocks.to_string(), (*block)[0], (*block)[1],
                     shapes);
}

}  // namespace

void attach_fp8_scales(const std::optional<BlockShape>& block, Tensors& tensors,
                       ProblemList& problems) {
  for (auto& [name, record] : tensors) {
    if (record.dtype != DType::kF8E4M3) continue;
    if (record.shape.rank() != 2) {
      problems.add("tensor '{}' is fp8 of shape {}; fp8 is read of matrices alone", name,
                   record.shape.to_string());
      continue;
    }
    const auto scales = find_scales(name, tensors);
    if (scales == tensors.end()) {
      problems.add(
          "tensor '{}' is fp8 and has no scales ('NAME.weight_scale_inv' or 'NAME.weight_scale')",
          name);
      continue;
    }
    const TensorRecord& found = scales->second;
    const auto shared = shared_by(found.shape, record.shape, block);
    if (!is_float(found.dtype) || !shared) {
      problems.add("tensor '{}' is {} {}; expected f32, bf16 or f16 {}", scales->first,
                   dtype_name(found.dtype), found.shape.to_string(),
                   expected_shapes(record.shape, block));
      continue;
    }
    record.scales = {found.data, found.dtype, (*shared)[0], (*shared)[1],
                     blocks_of(record.shape[1], (*shared)[1])};
    tensors.erase(scales);
  }
  std::erase_if(tensors, [](const auto& entry) {
    return std::ranges::any_of(
        kUnused, [&](std::string_view suffix) { return entry.first.ends_with(suffix); });
  });
}

}  // namespace lmdeploy
