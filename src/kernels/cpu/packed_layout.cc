#include "kernels/cpu/packed_layout.h"

#include "base/check.h"
#include "kernels/cpu/dequant.h"

namespace lmdeploy::cpu {

namespace {

constexpr size_t kAlign = 64;

// Moves `end` past a region of `bytes` and returns where the region begins.
size_t place(size_t& end, int64_t bytes) {
  const size_t begin = end;
  end = (begin + static_cast<size_t>(bytes) + kAlign - 1) / kAlign * kAlign;
  return begin;
}

PanelLayout plain_layout(int64_t elements, int64_t element_bytes) {
  PanelLayout layout;
  place(layout.bytes, elements * kPanelRows * element_bytes);
  return layout;
}

}  // namespace

PanelLayout panel_layout(DType format, int64_t k) {
  if (format == DType::kF32) return plain_layout(k, 4);
  if (format == DType::kF16) return plain_layout(k, 2);
  if (format == DType::kBF16) return plain_layout(padded_bf16_k(k), 2);
  CHECK(is_block_quantized(format), "{} weights have no packed layout", dtype_name(format));
  CHECK(k % dtype_info(format).block_elems == 0, "k {} is no whole number of {} blocks", k,
        dtype_name(format));
  const int bits = code_bits(format);
  const bool k_format = is_k_format(format);
  const bool super = k_format || format == DType::kQ6_K;
  PanelLayout layout;
  layout.groups = k / kGroup;
  const int64_t scale_bytes = k_format ? 16 : 32;
  place(layout.bytes, layout.groups * (bits == 8 ? 512 : 256));
  layout.high = place(layout.bytes, layout.groups * (bits == 8 ? 0 : (bits - 4) * 64));
  layout.scale = place(layout.bytes, layout.groups * scale_bytes);
  layout.min = place(layout.bytes, has_min(format) ? layout.groups * scale_bytes : 0);
  layout.super = place(layout.bytes, super ? layout.groups / kSuperGroups * 32 : 0);
  layout.super_min = place(layout.bytes, k_format ? layout.groups / kSuperGroups * 32 : 0);
  return layout;
}

}  // namespace lmdeploy::cpu
