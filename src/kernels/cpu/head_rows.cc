#include "kernels/cpu/head_rows.h"

#include <cmath>
#include <cstring>

namespace lmdeploy::cpu {

namespace {

constexpr float kMaxF16 = 65504.0f;

}  // namespace

void norm_head(float* x, const float* weight, int size, float eps) {
  double sum = 0;
  for (int i = 0; i < size; ++i) sum += double{x[i]} * x[i];
  const float scale = static_cast<float>(1.0 / std::sqrt(sum / size + eps));
  for (int i = 0; i < size; ++i) x[i] = x[i] * scale * weight[i];
}

void rotate_head(const float* x, const float* cos_sin, int half, float* to) {
  for (int i = 0; i < half; ++i) {
    const float a = x[i], b = x[half + i], c = cos_sin[i], s = cos_sin[half + i];
    to[i] = a * c - b * s;
    to[half + i] = b * c + a * s;
  }
}

void store_head(const float* x, int size, KvType type, std::byte* to) {
  switch (type) {
    case KvType::kF32: std::memcpy(to, x, static_cast<size_t>(size) * sizeof(float)); return;
    case KvType::kF16:
      for (int i = 0; i < size; ++i) {
        const float limited =
            std::isnan(x[i]) ? x[i] : std::fmin(std::fmax(x[i], -kMaxF16), kMaxF16);
        reinterpret_cast<f16*>(to)[i] = to_f16(limited);
      }
      return;
    case KvType::kBF16:
      for (int i = 0; i < size; ++i) reinterpret_cast<bf16*>(to)[i] = to_bf16(x[i]);
      return;
  }
}

}  // namespace lmdeploy::cpu
