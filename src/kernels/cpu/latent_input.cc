#include "kernels/cpu/latent_input.h"

#include "kernels/cpu/head_rows.h"
#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

void latent_input_row(const LatentInputArgs& args, int64_t row) {
  const int half = args.rotary_half, rope_dim = 2 * half, head_dim = args.latent_dim + rope_dim;
  const float* cos_sin = args.cos_sin + row * args.cos_sin_stride;
  const float* rope = args.query_rope + row * args.query_rope_stride;
  float* query = args.query + row * args.query_stride + args.latent_dim;
  for (int head = 0; head < args.heads; ++head) {
    rotate_head(rope + head * rope_dim, cos_sin, half, query + head * head_dim);
  }
  float* latent = args.latent + row * args.latent_stride;
  norm_head(latent, args.norm, args.latent_dim, args.norm_eps);
  rotate_head(latent + args.latent_dim, cos_sin, half, latent + args.latent_dim);
  const int64_t slot = args.slot_map[row];
  if (slot < 0) return;
  std::byte* page = args.pages + static_cast<size_t>(slot / args.block_tokens) * args.page_bytes;
  const int64_t in_page = slot % args.block_tokens * head_dim * args.element_bytes;
  store_head(latent, head_dim, args.type, page + in_page);
}

}  // namespace

void latent_input(CpuStream& stream, const LatentInputArgs& args) {
  constexpr int64_t kWorkPerElem = 4;  // beside a plain streaming element
  const int64_t row_elems = args.latent_dim + int64_t{2} * (args.heads + 1) * args.rotary_half;
  stream.pool().parallel_for(args.rows, row_grain(row_elems * kWorkPerElem),
                             [&](int64_t begin, int64_t end) {
                               for (int64_t row = begin; row < end; ++row) latent_input_row(args, row);
                             });
}

}  // namespace lmdeploy::cpu
