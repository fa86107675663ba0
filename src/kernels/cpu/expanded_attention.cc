#include "kernels/cpu/expanded_attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

float dot(const float* a, const float* b, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Row `row` of a sequence whose first row is `first`, of one head.
void attend(const ExpandedInputs& in, const ExpandedParams& params, int64_t first, int64_t row,
            int head, std::vector<float>& scores, float* out) {
  const ExpandedDims& dims = params.dims;
  const float* q_nope = in.q_nope.row<float>(row) + head * dims.nope;
  const float* q_rope = in.q_rope.row<float>(row) + head * in.rope_step;
  const auto tokens = static_cast<size_t>(row - first + 1);
  float most = -std::numeric_limits<float>::infinity(), sum = 0;
  for (size_t i = 0; i < tokens; ++i) {
    const int64_t at = first + static_cast<int64_t>(i);
    scores[i] = params.scale * (dot(q_nope, in.keys.row<float>(at) + head * dims.nope, dims.nope) +
                                dot(q_rope, in.k_rope.row<float>(at), dims.rope));
    most = std::max(most, scores[i]);
  }
  for (size_t i = 0; i < tokens; ++i) sum += scores[i] = std::exp(scores[i] - most);
  std::fill_n(out, dims.value, 0.0f);
  for (size_t i = 0; i < tokens; ++i) {
    const float* value = in.values.row<float>(first + static_cast<int64_t>(i)) + head * dims.value;
    for (int c = 0; c < dims.value; ++c) out[c] += scores[i] / sum * value[c];
  }
}

}  // namespace

void expanded_attention(CpuStream& stream, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out) {
  const int32_t* start = batch.query_start.data<int32_t>();
  const int32_t* kv_len = batch.kv_len.data<int32_t>();
  for (int64_t b = 0; b < batch.kv_len.dim(0); ++b) {
    const int queries = start[b + 1] - start[b];
    if (queries != kv_len[b] || queries < kLeastExpandedQueries) continue;
    const auto attend_rows = [&](int64_t begin, int64_t end) {
      std::vector<float> scores(static_cast<size_t>(queries));
      for (int64_t row = start[b] + begin; row < start[b] + end; ++row) {
        for (int head = 0; head < params.heads; ++head) {
          attend(in, params, start[b], row, head, scores,
                 out.row<float>(row) + head * params.dims.value);
        }
      }
    };
    stream.pool().parallel_for(queries, 1, attend_rows);
  }
}

}  // namespace lmdeploy::cpu
