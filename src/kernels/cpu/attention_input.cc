#include "kernels/cpu/attention_input.h"

#include "kernels/cpu/head_rows.h"
#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

using RowsFn = void (*)(const AttentionInputArgs&, int64_t, int64_t);

RowsFn rows_fn(const CpuIsa& isa) {
  if (isa.avx512) return attention_input_rows_avx512;
  if (isa.avx2) return attention_input_rows_avx2;
  return attention_input_rows_plain;
}

}  // namespace

void attention_input_rows_plain(const AttentionInputArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float* q = args.qkv + row * args.qkv_stride;
    float* k = q + args.heads * args.head_dim;
    const float* v = k + args.kv_heads * args.head_dim;
    for (int head = 0; head < args.heads + args.kv_heads; ++head) {
      float* x = q + head * args.head_dim;
      const float* norm = head < args.heads ? args.q_norm : args.k_norm;
      if (norm != nullptr) norm_head(x, norm, args.head_dim, args.norm_eps);
      if (args.rotary_half > 0) {
        rotate_head(x, args.cos_sin + row * args.cos_sin_stride, args.rotary_half, x);
      }
    }
    const int64_t slot = args.slot_map[row];
    if (slot < 0) continue;
    std::byte* page = args.pages + static_cast<size_t>(slot / args.block_tokens) * args.page_bytes;
    const size_t in_head =
        static_cast<size_t>(slot % args.block_tokens * args.head_dim * args.element_bytes);
    for (int head = 0; head < args.kv_heads; ++head) {
      std::byte* k_to = page + static_cast<size_t>(head) * args.head_bytes + in_head;
      std::byte* v_to = k_to + static_cast<size_t>(args.kv_heads) * args.head_bytes;
      store_head(k + head * args.head_dim, args.head_dim, args.type, k_to);
      store_head(v + head * args.head_dim, args.head_dim, args.type, v_to);
    }
  }
}

void attention_input(CpuStream& stream, const AttentionInputArgs& args) {
  constexpr int64_t kWorkPerElem = 2;  // beside a plain streaming element
  const RowsFn rows = rows_fn(stream.isa());
  const int64_t row_elems = int64_t{args.heads + 2 * args.kv_heads} * args.head_dim;
  stream.pool().parallel_for(args.rows, row_grain(row_elems * kWorkPerElem),
                             [&](int64_t begin, int64_t end) { rows(args, begin, end); });
}

}  // namespace lmdeploy::cpu
