#include "kernels/cpu/pack_panel.h"

#include <cstring>

#include "kernels/cpu/dequant.h"

namespace lmdeploy::cpu {

namespace {

constexpr int kSteps = 8;        // of 4 elements in a group
constexpr int kStepBytes = 64;   // 16 rows x 4 elements

uint32_t load4(const void* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, 4);
  return value;
}

void store4(std::byte* bytes, uint32_t value) { std::memcpy(bytes, &value, 4); }

// Bit `bit` of each of 4 codes, in bit 0 of each byte.
uint32_t plane(uint32_t codes, int bit) { return codes >> bit & 0x01010101u; }

void write_codes(int bits, const BlockGroup& group, std::byte* codes, std::byte* high) {
  uint32_t step[kSteps];
  for (int s = 0; s < kSteps; ++s) step[s] = load4(group.code + 4 * s);
  if (bits == 8) {
    for (int s = 0; s < kSteps; ++s) store4(codes + s * kStepBytes, step[s]);
    return;
  }
  for (int v = 0; v < 4; ++v) {
    store4(codes + v * kStepBytes, (step[v] & 0x0F0F0F0Fu) | (step[v + 4] & 0x0F0F0F0Fu) << 4);
  }
  if (bits == 5) {
    uint32_t planes = 0;
    for (int s = 0; s < kSteps; ++s) planes |= plane(step[s], 4) << s;
    store4(high, planes);
  } else if (bits == 6) {
    for (int w = 0; w < 2; ++w) {
      uint32_t planes = 0;
      for (int f = 0; f < 4; ++f) planes |= (step[4 * w + f] >> 4 & 0x03030303u) << 2 * f;
      store4(high + w * kStepBytes, planes);
    }
  }
}

void read_codes(int bits, const std::byte* codes, const std::byte* high, uint8_t* out) {
  for (int s = 0; s < kSteps; ++s) {
    uint32_t step;
    if (bits == 8) {
      step = load4(codes + s * kStepBytes);
    } else {
      step = load4(codes + s % 4 * kStepBytes) >> s / 4 * 4 & 0x0F0F0F0Fu;
    }
    if (bits == 5) step |= plane(load4(high), s) << 4;
    if (bits == 6) step |= (load4(high + s / 4 * kStepBytes) >> s % 4 * 2 & 0x03030303u) << 4;
    std::memcpy(out + 4 * s, &step, 4);
  }
}

template <class T>
T& lane(std::byte* region, int64_t index, int row) {
  return reinterpret_cast<T*>(region)[index * kPanelRows + row];
}
template <class T>
const T& lane(const std::byte* region, int64_t index, int row) {
  return reinterpret_cast<const T*>(region)[index * kPanelRows + row];
}

void write_scales(DType format, const PanelLayout& layout, int64_t g, const BlockGroup& group, int row,
                  std::byte* panel) {
  const bool super = layout.super_min != layout.super || format == DType::kQ6_K;
  if (super) lane<f16>(panel + layout.super, g / kSuperGroups, row) = group.d;
  if (format == DType::kQ6_K) {
    lane<int8_t>(panel + layout.scale, 2 * g, row) = group.sub_scale[0];
    lane<int8_t>(panel + layout.scale, 2 * g + 1, row) = group.sub_scale[1];
  } else if (is_k_format(format)) {
    lane<int8_t>(panel + layout.scale, g, row) = group.sub_scale[0];
    lane<uint8_t>(panel + layout.min, g, row) = group.sub_min;
    lane<f16>(panel + layout.super_min, g / kSuperGroups, row) = group.min;
  } else {
    lane<f16>(panel + layout.scale, g, row) = group.d;
    if (has_min(format)) lane<f16>(panel + layout.min, g, row) = group.min;
  }
}

void read_scales(DType format, const PanelLayout& layout, int64_t g, int row, const std::byte* panel,
                 BlockGroup& group) {
  group.min = f16{0};
  group.sub_scale[0] = group.sub_scale[1] = 1;
  group.sub_min = 1;
  if (format == DType::kQ6_K) {
    group.d = lane<f16>(panel + layout.super, g / kSuperGroups, row);
    group.sub_scale[0] = lane<int8_t>(panel + layout.scale, 2 * g, row);
    group.sub_scale[1] = lane<int8_t>(panel + layout.scale, 2 * g + 1, row);
  } else if (is_k_format(format)) {
    group.d = lane<f16>(panel + layout.super, g / kSuperGroups, row);
    group.sub_scale[0] = group.sub_scale[1] = lane<int8_t>(panel + layout.scale, g, row);
    group.sub_min = lane<uint8_t>(panel + layout.min, g, row);
    group.min = lane<f16>(panel + layout.super_min, g / kSuperGroups, row);
  } else {
    group.d = lane<f16>(panel + layout.scale, g, row);
    if (has_min(format)) group.min = lane<f16>(panel + layout.min, g, row);
  }
}

// Where element k of a row lies in a bf16 panel, in elements.
int64_t bf16_index(int64_t k, int row) { return (k / 2 * kPanelRows + row) * 2 + k % 2; }

}  // namespace

void pack_block_row(DType format, const PanelLayout& layout, const std::byte* source, int row,
                    std::byte* panel) {
  const int bits = code_bits(format);
  const int64_t code_bytes = bits == 8 ? 512 : 256, high_bytes = bits == 8 ? 0 : (bits - 4) * 64;
  for (int64_t g = 0; g < layout.groups; ++g) {
    BlockGroup group;
    decode_group(format, source, g, group);
    write_codes(bits, group, panel + g * code_bytes + 4 * row,
                panel + layout.high + g * high_bytes + 4 * row);
    write_scales(format, layout, g, group, row, panel);
  }
}

void pack_plain_row(DType format, int64_t k, const float* source, int row, std::byte* panel) {
  for (int64_t i = 0; i < k; ++i) {
    if (format == DType::kF32) lane<float>(panel, i, row) = source[i];
    if (format == DType::kF16) lane<f16>(panel, i, row) = to_f16(source[i]);
    if (format == DType::kBF16) reinterpret_cast<bf16*>(panel)[bf16_index(i, row)] = to_bf16(source[i]);
  }
}

void unpack_panel_row(DType format, const PanelLayout& layout, int64_t k, const std::byte* panel,
                      int row, float* out) {
  if (layout.groups == 0) {
    for (int64_t i = 0; i < k; ++i) {
      if (format == DType::kF32) out[i] = lane<float>(panel, i, row);
      if (format == DType::kF16) out[i] = to_float(lane<f16>(panel, i, row));
      if (format == DType::kBF16) out[i] = to_float(reinterpret_cast<const bf16*>(panel)[bf16_index(i, row)]);
    }
    return;
  }
  const int bits = code_bits(format), zero = zero_code(format);
  const int64_t code_bytes = bits == 8 ? 512 : 256, high_bytes = bits == 8 ? 0 : (bits - 4) * 64;
  for (int64_t g = 0; g < layout.groups; ++g) {
    BlockGroup group;
    read_codes(bits, panel + g * code_bytes + 4 * row, panel + layout.high + g * high_bytes + 4 * row,
               group.code);
    read_scales(format, layout, g, row, panel, group);
    const float offset = group.offset();
    for (int i = 0; i < kGroup; ++i) {
      out[g * kGroup + i] = group.scale(i / 16) * static_cast<float>(group.code[i] - zero) + offset;
    }
  }
}

}  // namespace lmdeploy::cpu
