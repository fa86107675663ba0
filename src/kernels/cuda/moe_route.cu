// A warp routes a token: scores and choice scores in shared memory, then one warp-wide maximum a
// choice.
#include <climits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/moe_route_launch.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kWarps = 4;  // of a block
constexpr unsigned kAll = 0xffffffffu;
constexpr float kNever = -INFINITY;

__device__ float warp_max(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAll, x, step));
  return x;
}
__device__ float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAll, x, step);
  return x;
}

struct Best {
  float value;
  int index;
};

// The first index of the largest of values[0, count), in every lane: an index even where all are
// NaN.
__device__ int best_of(const float* values, int count, int lane) {
  Best best{kNever, INT_MAX};
  for (int i = lane; i < count; i += 32) {
    if (i == lane || values[i] > best.value) best = {values[i], i};
  }
  for (int step = 16; step > 0; step /= 2) {
    const Best other{__shfl_xor_sync(kAll, best.value, step),
                     __shfl_xor_sync(kAll, best.index, step)};
    const bool lower = other.value == best.value && other.index < best.index;
    if (other.value > best.value || lower) best = other;
  }
  return __shfl_sync(kAll, best.index, 0);
}

__device__ void write_scores(const MoeRouteLaunch& route, const float* logits, int lane,
                             float* scores) {
  if (route.sigmoid) {
    for (int e = lane; e < route.experts; e += 32) scores[e] = 1.0f / (1.0f + expf(-logits[e]));
    return;
  }
  float most = kNever, sum = 0;
  for (int e = lane; e < route.experts; e += 32) most = fmaxf(most, logits[e]);
  most = warp_max(most);
  for (int e = lane; e < route.experts; e += 32) {
    scores[e] = expf(logits[e] - most);
    sum += scores[e];
  }
  const float inverse = 1.0f / warp_sum(sum);
  for (int e = lane; e < route.experts; e += 32) scores[e] *= inverse;
}

__device__ float group_score(const float* choice, int size, bool by_two) {
  float largest = kNever, second = kNever;
  for (int i = 0; i < size; ++i) {
    second = fmaxf(second, fminf(largest, choice[i]));
    largest = fmaxf(largest, choice[i]);
  }
  return by_two && size > 1 ? largest + second : largest;
}

// Experts outside of the best groups get a choice score below every other. `groups`: [groups].
__device__ void keep_best_groups(const MoeRouteLaunch& route, int lane, float* choice,
                                 float* groups) {
  const int size = route.experts / route.groups;
  for (int g = lane; g < route.groups; g += 32) {
    groups[g] = group_score(choice + g * size, size, route.group_by_two);
  }
  __syncwarp();
  for (int i = 0; i < route.kept_groups; ++i) {
    const int kept = best_of(groups, route.groups, lane);
    __syncwarp();
    if (lane == 0) groups[kept] = kNever;
    __syncwarp();
  }
  for (int e = lane; e < route.experts; e += 32) {
    if (groups[e / size] != kNever) choice[e] = kNever;
  }
  __syncwarp();
}

__device__ void choose(const MoeRouteLaunch& route, int64_t token, int lane, const float* scores,
                       float* choice) {
  int id = 0;
  float weight = 0, sum = 0;  // lane k has choice k
  for (int k = 0; k < route.top_k; ++k) {
    const int best = best_of(choice, route.experts, lane);
    const float score = scores[best];
    sum += score;
    if (lane == k) id = best, weight = score;
    __syncwarp();
    if (lane == 0) choice[best] = kNever;
    __syncwarp();
  }
  if (lane >= route.top_k) return;
  route.ids[token * route.ids_stride + lane] = id;
  route.weights[token * route.weights_stride + lane] =
      weight * (route.renormalize ? route.scale / sum : route.scale);
}

__global__ void __launch_bounds__(kWarps * 32)
    moe_route_kernel(const __grid_constant__ MoeRouteLaunch route) {
  extern __shared__ float shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t token = int64_t{blockIdx.x} * kWarps + warp;
  float* scores = shared + warp * (2 * route.experts + route.groups);
  float* choice = scores + route.experts;
  wait_for_previous();
  allow_next();
  if (token >= route.tokens) return;
  write_scores(route, route.logits + token * route.logits_stride, lane, scores);
  for (int e = lane; e < route.experts; e += 32) {
    choice[e] = route.correction == nullptr ? scores[e] : scores[e] + route.correction[e];
  }
  __syncwarp();
  if (route.kept_groups < route.groups) {
    keep_best_groups(route, lane, choice, choice + route.experts);
  }
  choose(route, token, lane, scores, choice);
}

}  // namespace

cudaError_t launch_moe_route(const MoeRouteLaunch& route, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((route.tokens + kWarps - 1) / kWarps);
  const size_t shared =
      static_cast<size_t>(kWarps * (2 * route.experts + route.groups)) * sizeof(float);
  return launch(moe_route_kernel, dim3(blocks), dim3(kWarps * 32), shared, stream, true, route);
}

}  // namespace lmdeploy::cuda
