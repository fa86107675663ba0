#include "kernels/cuda/rope_launch.h"

#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 64;

// The angle is the fp32 product; its turns are taken in fp64, so that a large position costs no
// accuracy beyond that.
__global__ void rope_cos_sin_kernel(const __grid_constant__ RopeCosSinLaunch table) {
  constexpr double kTurnsPerRadian = 0.15915494309189533577;
  wait_for_previous();
  allow_next();
  const int64_t row = blockIdx.x;
  const int64_t frequencies = table.freq_row == nullptr ? 0 : table.freq_row[row];
  const float* inv_freq = table.inv_freq + frequencies * table.inv_freq_stride;
  float* out = table.cos_sin + row * table.cos_sin_stride;
  const float position = static_cast<float>(table.positions[row]);
  for (int i = static_cast<int>(threadIdx.x); i < table.half; i += kThreads) {
    const double turns = double{position * inv_freq[i]} * kTurnsPerRadian;
    float sine, cosine;
    sincospif(static_cast<float>(2 * (turns - rint(turns))), &sine, &cosine);
    out[i] = cosine * table.attention_scale;
    out[table.half + i] = sine * table.attention_scale;
  }
}

}  // namespace

cudaError_t launch_rope_cos_sin(const RopeCosSinLaunch& table, cudaStream_t stream) {
  return launch(rope_cos_sin_kernel, dim3(static_cast<unsigned>(table.rows)), dim3(kThreads), 0,
                stream, true, table);
}

}  // namespace lmdeploy::cuda
