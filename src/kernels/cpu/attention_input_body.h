// attention_input_rows, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/attention_input.h"
#include "kernels/cpu/rms_norm_body.h"

namespace lmdeploy::cpu {

template <class V>
inline void norm_head(float* x, const float* weight, int size, float eps) {
  const V scale = V::all(inverse_rms<V>(x, size, eps));
  for_vectors<V>(size, [&](int64_t i, int count, int) {
    (V::load(x + i, count) * scale * V::load(weight + i, count)).store(x + i, count);
  });
}

template <class V>
inline void rotate_head(float* x, const float* cos_sin, int half) {
  for_vectors<V>(half, [&](int64_t i, int count, int) {
    const V a = V::load(x + i, count), b = V::load(x + half + i, count);
    const V c = V::load(cos_sin + i, count), s = V::load(cos_sin + half + i, count);
    fnma(b, s, a * c).store(x + i, count);
    fma(a, s, b * c).store(x + half + i, count);
  });
}

template <class V>
inline void store_head(const float* x, int size, KvType type, std::byte* to) {
  for_vectors<V>(size, [&](int64_t i, int count, int) {
    const V v = V::load(x + i, count);
    if (type == KvType::kF32) {
      v.store(reinterpret_cast<float*>(to) + i, count);
    } else if (type == KvType::kF16) {
      v.store_f16(reinterpret_cast<uint16_t*>(to) + i, count);
    } else {
      v.store_bf16(reinterpret_cast<uint16_t*>(to) + i, count);
    }
  });
}

template <class V>
inline void attention_input_row(const AttentionInputArgs& args, int64_t row) {
  float* q = args.qkv + row * args.qkv_stride;
  const float* k = q + args.heads * args.head_dim;
  const float* v = k + args.kv_heads * args.head_dim;
  for (int head = 0; head < args.heads + args.kv_heads; ++head) {
    float* x = q + head * args.head_dim;
    const float* norm = head < args.heads ? args.q_norm : args.k_norm;
    if (norm != nullptr) norm_head<V>(x, norm, args.head_dim, args.norm_eps);
    if (args.rotary_half > 0) {
      rotate_head<V>(x, args.cos_sin + row * args.cos_sin_stride, args.rotary_half);
    }
  }
  const int64_t slot = args.slot_map[row];
  if (slot < 0) return;
  std::byte* page = args.pages + static_cast<size_t>(slot / args.block_tokens) * args.page_bytes;
  const size_t in_head =
      static_cast<size_t>(slot % args.block_tokens * args.head_dim * args.element_bytes);
  for (int head = 0; head < args.kv_heads; ++head) {
    std::byte* k_to = page + static_cast<size_t>(head) * args.head_bytes + in_head;
    std::byte* v_to = k_to + static_cast<size_t>(args.kv_heads) * args.head_bytes;
    store_head<V>(k + head * args.head_dim, args.head_dim, args.type, k_to);
    store_head<V>(v + head * args.head_dim, args.head_dim, args.type, v_to);
  }
}

template <class V>
inline void attention_input_rows(const AttentionInputArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) attention_input_row<V>(args, row);
}

}  // namespace lmdeploy::cpu
