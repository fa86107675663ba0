#include "kernels/cpu/dequant.h"

#include <cstring>

#include "base/check.h"

namespace lmdeploy::cpu {

namespace {

template <class T>
T read(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

f16 negated(f16 x) { return {static_cast<uint16_t>(x.bits ^ 0x8000)}; }

// 16 bytes: element j in the low nibble of byte j, element j + 16 in the high one.
void split_nibbles(const uint8_t* qs, uint8_t* code) {
  for (int j = 0; j < 16; ++j) {
    code[j] = qs[j] & 15;
    code[j + 16] = qs[j] >> 4;
  }
}

void decode_4bit(const uint8_t* block, bool has_min, BlockGroup& out) {
  out.d = read<f16>(block);
  if (has_min) out.min = read<f16>(block + 2);
  split_nibbles(block + (has_min ? 4 : 2), out.code);
}

void decode_5bit(const uint8_t* block, bool has_min, BlockGroup& out) {
  out.d = read<f16>(block);
  if (has_min) out.min = read<f16>(block + 2);
  const uint8_t* rest = block + (has_min ? 4 : 2);
  const uint32_t high = read<uint32_t>(rest);
  split_nibbles(rest + 4, out.code);
  for (int j = 0; j < kGroup; ++j) out.code[j] |= static_cast<uint8_t>((high >> j & 1) << 4);
}

void decode_q8_0(const uint8_t* block, BlockGroup& out) {
  out.d = read<f16>(block);
  for (int j = 0; j < kGroup; j += 8) {
    const uint64_t codes = read<uint64_t>(block + 2 + j) ^ 0x8080808080808080u;
    std::memcpy(out.code + j, &codes, 8);
  }
}

// The 6-bit scale and min of sub-block s, packed into 12 bytes.
void decode_k_scales(const uint8_t* scales, int s, BlockGroup& out) {
  if (s < 4) {
    out.sub_scale[0] = static_cast<int8_t>(scales[s] & 63);
    out.sub_min = scales[s + 4] & 63;
  } else {
    out.sub_scale[0] = static_cast<int8_t>((scales[s + 4] & 15) | (scales[s - 4] >> 6) << 4);
    out.sub_min = static_cast<uint8_t>((scales[s + 4] >> 4) | (scales[s] >> 6) << 4);
  }
  out.sub_scale[1] = out.sub_scale[0];
}

// q4_K: d, dmin, scales[12], qs[128]; q5_K has qh[32] before qs, bit s of which is sub-block s's.
void decode_k(const uint8_t* block, int s, bool five_bits, BlockGroup& out) {
  out.d = read<f16>(block);
  out.min = negated(read<f16>(block + 2));
  decode_k_scales(block + 4, s, out);
  const uint8_t* qs = block + (five_bits ? 48 : 16) + s / 2 * 32;
  const int shift = s % 2 * 4;
  for (int j = 0; j < kGroup; ++j) out.code[j] = qs[j] >> shift & 15;
  if (!five_bits) return;
  for (int j = 0; j < kGroup; ++j) out.code[j] |= static_cast<uint8_t>((block[16 + j] >> s & 1) << 4);
}

// q6_K: ql[128], qh[64], scales[16] of 16 elements each, d. Groups 0-3 and 4-7 are its halves.
void decode_q6_k(const uint8_t* block, int s, BlockGroup& out) {
  const int half = s / 4, quarter = s % 4;
  const uint8_t* ql = block + half * 64 + quarter % 2 * 32;
  const uint8_t* qh = block + 128 + half * 32;
  const uint8_t* scales = block + 192 + half * 8 + quarter * 2;
  const int shift = quarter / 2 * 4;
  for (int j = 0; j < kGroup; ++j) {
    out.code[j] = static_cast<uint8_t>((ql[j] >> shift & 15) | (qh[j] >> 2 * quarter & 3) << 4);
  }
  out.d = read<f16>(block + 208);
  out.sub_scale[0] = static_cast<int8_t>(scales[0]);
  out.sub_scale[1] = static_cast<int8_t>(scales[1]);
}

template <class T>
void convert_row(const uint8_t* row, int64_t k, float* out) {
  for (int64_t i = 0; i < k; ++i) out[i] = to_float(read<T>(row + i * static_cast<int64_t>(sizeof(T))));
}

}  // namespace

void decode_group(DType format, const std::byte* row, int64_t group, BlockGroup& out) {
  const DTypeInfo& info = dtype_info(format);
  const int64_t groups_per_block = info.block_elems / kGroup;
  const auto* block = reinterpret_cast<const uint8_t*>(row) + group / groups_per_block * info.block_bytes;
  const int s = static_cast<int>(group % groups_per_block);
  out.min = f16{0};
  out.sub_scale[0] = out.sub_scale[1] = 1;
  out.sub_min = 1;
  switch (format) {
    case DType::kQ4_0: return decode_4bit(block, false, out);
    case DType::kQ4_1: return decode_4bit(block, true, out);
    case DType::kQ5_0: return decode_5bit(block, false, out);
    case DType::kQ5_1: return decode_5bit(block, true, out);
    case DType::kQ8_0: return decode_q8_0(block, out);
    case DType::kQ4_K: return decode_k(block, s, false, out);
    case DType::kQ5_K: return decode_k(block, s, true, out);
    case DType::kQ6_K: return decode_q6_k(block, s, out);
    default: CHECK(false, "{} is no block type", info.name);
  }
}

void dequantize_row(DType format, const std::byte* row, int64_t k, float* out) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(row);
  switch (format) {
    case DType::kF32: return convert_row<float>(bytes, k, out);
    case DType::kF16: return convert_row<f16>(bytes, k, out);
    case DType::kBF16: return convert_row<bf16>(bytes, k, out);
    default: break;
  }
  CHECK(k % kGroup == 0, "k {} is no multiple of {}", k, kGroup);
  const int zero = zero_code(format);
  for (int64_t group = 0; group < k / kGroup; ++group) {
    BlockGroup part;
    decode_group(format, row, group, part);
    const float offset = part.offset();
    for (int i = 0; i < kGroup; ++i) {
      out[group * kGroup + i] = part.scale(i / 16) * static_cast<float>(part.code[i] - zero) + offset;
    }
  }
}

}  // namespace lmdeploy::cpu
