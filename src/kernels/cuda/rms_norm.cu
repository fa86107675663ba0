#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rms_norm_launch.h"
#include "kernels/cuda/row_block.cuh"

namespace lmdeploy::cuda {

namespace {

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
  template <class Fn>
  __device__ void each(Fn&& fn) const {
    each_vector<kSize, kSteps>(rows_.size, fn);
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

template <class T, int kSize, int kSteps, bool kPost>
__global__ void __launch_bounds__((kMaxThreads<kSize, kSteps>))
    rms_norm_kernel(const __grid_constant__ RmsNormLaunch rows) {
  RowNorm<T, kSize, kSteps, kPost>(rows).run();
}

template <class T>
cudaError_t launch_typed(const RmsNormLaunch& rows, cudaStream_t stream) {
  const bool wide = rows_are_vectors(rows.residual, rows.residual_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.delta, rows.delta_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.out, rows.out_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.weight, 0, rows.size, sizeof(float)) &&
                    rows_are_vectors(rows.post_weight, 0, rows.size, sizeof(float));
  return for_block_shape<Pack<T>::kSize>(rows.size, wide, [&](auto shape) {
    constexpr int kSize = decltype(shape)::kVector, kSteps = decltype(shape)::kVectors;
    const auto kernel = rows.post_weight != nullptr ? rms_norm_kernel<T, kSize, kSteps, true>
                                                    : rms_norm_kernel<T, kSize, kSteps, false>;
    return launch(kernel, dim3(static_cast<unsigned>(rows.rows)),
                  dim3(static_cast<unsigned>(threads_for(rows.size, kSize, kSteps))), 0, stream,
                  true, rows);
  });
}

}  // namespace

cudaError_t launch_rms_norm(const RmsNormLaunch& rows, cudaStream_t stream) {
  return for_element_type(
      rows.dtype, [&](auto element) { return launch_typed<decltype(element)>(rows, stream); });
}

}  // namespace lmdeploy::cuda
