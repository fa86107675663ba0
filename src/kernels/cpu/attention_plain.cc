#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention.h"
#include "tensor/arena.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

float element(const std::byte* data, KvType type, int64_t i) {
  switch (type) {
    case KvType::kF32: return reinterpret_cast<const float*>(data)[i];
    case KvType::kF16: return to_float(reinterpret_cast<const f16*>(data)[i]);
    case KvType::kBF16: return to_float(reinterpret_cast<const bf16*>(data)[i]);
  }
  return 0;
}

// One head's K and V of one sequence, by token.
struct HeadReader {
  const AttentionArgs& args;
  const int32_t* block_table;
  int kv_head;

  const std::byte* block(int token, int head) const {
    const int32_t page = block_table[token / args.block_tokens];
    CHECK(page >= 0, "attention reads token {}, whose block is freed", token);
    return args.pages + static_cast<size_t>(page) * args.page_bytes +
           static_cast<size_t>(head) * args.head_bytes;
  }
  float k(int token, int i) const {
    return element(block(token, kv_head), args.type, token % args.block_tokens * args.head_dim + i);
  }
  float v(int token, int i) const {
    return element(block(token, args.first_value_head + kv_head), args.type,
                   token % args.block_tokens * args.head_dim + i);
  }
};

double score(const AttentionArgs& args, const HeadReader& kv, const float* q, int head,
             int position, int token) {
  double dot = 0;
  for (int i = 0; i < args.head_dim; ++i) dot += double{q[i]} * kv.k(token, i);
  double s = dot * args.scale;
  if (args.softcap > 0) s = args.softcap * std::tanh(s / args.softcap);
  if (args.alibi_slopes != nullptr) s += double{args.alibi_slopes[head]} * (token - position);
  return s;
}

// `scores` has room for position + 1.
void attend(const AttentionArgs& args, const HeadReader& kv, const float* q, int head, int position,
            double* scores, float* out) {
  const int first = first_visible(args, position);
  double max = args.sinks != nullptr ? args.sinks[head] : -INFINITY;
  for (int j = first; j <= position; ++j) {
    scores[j] = score(args, kv, q, head, position, j);
    max = std::max(max, scores[j]);
  }
  double sum = args.sinks != nullptr ? std::exp(args.sinks[head] - max) : 0;
  for (int j = first; j <= position; ++j) sum += scores[j] = std::exp(scores[j] - max);
  for (int i = 0; i < args.head_dim; ++i) {
    double value = 0;
    for (int j = first; j <= position; ++j) value += scores[j] * kv.v(j, i);
    out[i] = static_cast<float>(value / sum);
  }
}

}  // namespace

void attention_plain(CpuStream& stream, Arena& scratch, const AttentionArgs& args) {
  ArenaScope scope(scratch);
  const int64_t workers = stream.pool().size();
  double* scores = scratch.allocate<double>(workers * args.max_kv_len);
  stream.pool().run([&](int worker) {
    double* own_scores = scores + int64_t{worker} * args.max_kv_len;
    for (int b = 0; b < args.sequences; ++b) {
      const int begin = args.query_start[b], end = args.query_start[b + 1];
      for (int t = begin + worker; t < end; t += static_cast<int>(workers)) {
        const int position = args.kv_len[b] - end + t;
        for (int head = 0; head < args.heads; ++head) {
          const HeadReader kv{args, args.block_table + b * args.block_table_stride,
                              head / (args.heads / args.kv_heads)};
          attend(args, kv, args.q + t * args.q_stride + head * args.head_dim, head, position,
                 own_scores, args.out + t * args.out_stride + head * args.head_dim);
        }
      }
    }
  });
}

}  // namespace lmdeploy::cpu
