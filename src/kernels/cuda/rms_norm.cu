#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rms_norm_launch.h"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

// Sum over the block; every thread gets it. The order depends on the block's size alone.
__device__ float block_sum(float x) {
  __shared__ float warps[32];
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  __syncthreads();  // warps[] of an earlier call has been read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x % 32 < blockDim.x / 32 ? warps[threadIdx.x % 32] : 0.0f;
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  return x;
}

// One block a row; a thread keeps its kSteps vectors of kSize elements in registers. kPost: the
// change is normed before it is added.
template <class T, int kSize, int kSteps, bool kPost>
class RowNorm {
 public:
  __device__ explicit RowNorm(const RmsNormLaunch& rows) : rows_(rows) {}

  __device__ void run() {
    each([&](int step, int begin) { load_weights(rows_.weight + begin, weight_[step]); });
    allow_next();
    wait_for_previous();
    const T* residual = static_cast<const T*>(rows_.residual) + blockIdx.x * rows_.residual_stride;
    each([&](int step, int begin) { residual_[step] = load_vector<kSize>(residual + begin); });
    if (rows_.delta != nullptr) add_delta();
    const float scale = inverse_rms(residual_);
    T* out = static_cast<T*>(rows_.out) + blockIdx.x * rows_.out_stride;
    each([&](int step, int begin) {
      RowVector<T, kSize> normed;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        normed.elements[i] =
            from_float<T>(to_float(residual_[step].elements[i]) * scale * weight_[step][i]);
      }
      store_vector(out + begin, normed);
    });
  }

 private:
  // fn(step, first element) for the vectors of this thread.
  template <class Fn>
  __device__ void each(Fn&& fn) const {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int begin =
          (step * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kSize;
      if (begin < rows_.size) fn(step, begin);
    }
  }

  // kSize weights, in accesses of up to 16 bytes.
  __device__ static void load_weights(const float* from, float (&weights)[kSize]) {
    constexpr int kAtOnce = kSize < 4 ? kSize : 4;
#pragma unroll
    for (int i = 0; i < kSize; i += kAtOnce) {
      const RowVector<float, kAtOnce> part = load_vector<kAtOnce>(from + i);
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) weights[i + j] = part.elements[j];
    }
  }

  // 1 / sqrt(mean(x^2) + eps) of the row.
  __device__ float inverse_rms(const RowVector<T, kSize> (&x)[kSteps]) const {
    float square = 0;
    each([&](int step, int) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const float value = to_float(x[step].elements[i]);
        square += value * value;
      }
    });
    return rsqrtf(block_sum(square) / static_cast<float>(rows_.size) + rows_.eps);
  }

  // The residual is rounded to T before it is normed: it is what its next reader sees.
  __device__ void add_delta() {
    const T* delta = static_cast<const T*>(rows_.delta) + blockIdx.x * rows_.delta_stride;
    RowVector<T, kSize> added[kSteps];
    each([&](int step, int begin) { added[step] = load_vector<kSize>(delta + begin); });
    const float post_scale = kPost ? inverse_rms(added) : 1.0f;
    T* residual = static_cast<T*>(rows_.residual) + blockIdx.x * rows_.residual_stride;
    each([&](int step, int begin) {
      float post_weight[kSize];
      if (kPost) load_weights(rows_.post_weight + begin, post_weight);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        float change = to_float(added[step].elements[i]);
        if (kPost) change *= post_scale * post_weight[i];
        residual_[step].elements[i] = from_float<T>(to_float(residual_[step].elements[i]) + change);
      }
      store_vector(residual + begin, residual_[step]);
    });
  }

  const RmsNormLaunch& rows_;
  RowVector<T, kSize> residual_[kSteps];
  float weight_[kSteps][kSize];
};

// Two vectors a thread up to 1024 vectors; four, in 16-bit types, up to 2048.
template <int kSize, int kSteps>
constexpr int kMaxThreads = kSteps == 2 || kSize == 8 ? 512 : 1024;

template <class T, int kSize, int kSteps, bool kPost>
__global__ void __launch_bounds__((kMaxThreads<kSize, kSteps>))
    rms_norm_kernel(const __grid_constant__ RmsNormLaunch rows) {
  RowNorm<T, kSize, kSteps, kPost>(rows).run();
}

template <class T, int kSize, int kSteps>
cudaError_t launch_steps(const RmsNormLaunch& rows, cudaStream_t stream) {
  const int vectors = (rows.size + kSize - 1) / kSize;
  const int threads = ((vectors + kSteps - 1) / kSteps + 31) / 32 * 32;
  const auto kernel = rows.post_weight != nullptr ? rms_norm_kernel<T, kSize, kSteps, true>
                                                  : rms_norm_kernel<T, kSize, kSteps, false>;
  return launch(kernel, dim3(static_cast<unsigned>(rows.rows)),
                dim3(static_cast<unsigned>(threads)), 0, stream, true, rows);
}

// The shape of the block depends on the size alone, so that a row's result does not depend on how
// many rows there are.
template <class T>
cudaError_t launch_typed(const RmsNormLaunch& rows, cudaStream_t stream) {
  constexpr int kSize = Pack<T>::kSize;
  const bool wide = rows_are_vectors(rows.residual, rows.residual_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.delta, rows.delta_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.out, rows.out_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.weight, 0, rows.size, sizeof(float)) &&
                    rows_are_vectors(rows.post_weight, 0, rows.size, sizeof(float));
  if (!wide) {
    return rows.size <= 4096 ? launch_steps<T, 1, 4>(rows, stream)
                             : launch_steps<T, 1, 16>(rows, stream);
  }
  const int vectors = rows.size / kSize;
  if (vectors <= 128) return launch_steps<T, kSize, 1>(rows, stream);
  if (vectors <= 1024) return launch_steps<T, kSize, 2>(rows, stream);
  return launch_steps<T, kSize, 4>(rows, stream);
}

}  // namespace

cudaError_t launch_rms_norm(const RmsNormLaunch& rows, cudaStream_t stream) {
  return for_element_type(
      rows.dtype, [&](auto element) { return launch_typed<decltype(element)>(rows, stream); });
}

}  // namespace lmdeploy::cuda
