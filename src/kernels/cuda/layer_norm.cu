#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/layer_norm_launch.h"
#include "kernels/cuda/row_block.cuh"

namespace lmdeploy::cuda {

namespace {

// One block a head of a token; a thread keeps its kSteps vectors of kSize elements in registers.
template <class T, int kSize, int kSteps>
class HeadNorm {
 public:
  __device__ explicit HeadNorm(const LayerNormLaunch& rows)
      : rows_(rows),
        token_(blockIdx.x / static_cast<unsigned>(rows.heads)),
        first_(static_cast<int>(blockIdx.x % static_cast<unsigned>(rows.heads)) * rows.size) {}

  __device__ void run() {
    each([&](int step, int begin) { load_weights(rows_.weight + first_ + begin, weight_[step]); });
    allow_next();
    wait_for_previous();
    T* residual = at(rows_.residual, rows_.residual_stride);
    each([&](int step, int begin) { x_[step] = load_vector<kSize>(residual + begin); });
    if (rows_.delta != nullptr) add_delta(residual);
    const float mean = sum([](float x) { return x; }) / static_cast<float>(rows_.size);
    const float variance =
        sum([=](float x) { return (x - mean) * (x - mean); }) / static_cast<float>(rows_.size);
    store(mean, rsqrtf(variance + rows_.eps));
  }

 private:
  template <class Fn>
  __device__ void each(Fn&& fn) const {
    each_vector<kSize, kSteps>(rows_.size, fn);
  }

  __device__ T* at(void* p, int64_t stride) const {
    return static_cast<T*>(p) + token_ * stride + first_;
  }

  // Sum of fn(x) over the row.
  template <class Fn>
  __device__ float sum(Fn&& fn) const {
    float part = 0;
    each([&](int step, int) {
#pragma unroll
      for (int i = 0; i < kSize; ++i) part += fn(to_float(x_[step].elements[i]));
    });
    return block_sum(part);
  }

  // The residual is rounded to T before it is normed: it is what its next reader sees.
  __device__ void add_delta(T* residual) {
    const T* delta = static_cast<const T*>(rows_.delta) + token_ * rows_.delta_stride + first_;
    each([&](int step, int begin) {
      const RowVector<T, kSize> added = load_vector<kSize>(delta + begin);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        x_[step].elements[i] =
            from_float<T>(to_float(x_[step].elements[i]) + to_float(added.elements[i]));
      }
      store_vector(residual + begin, x_[step]);
    });
  }

  __device__ void store(float mean, float scale) const {
    T* out = at(rows_.out, rows_.out_stride);
    each([&](int step, int begin) {
      float bias[kSize] = {};
      if (rows_.bias != nullptr) load_weights(rows_.bias + first_ + begin, bias);
      RowVector<T, kSize> normed;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const float centred = to_float(x_[step].elements[i]) - mean;
        normed.elements[i] = from_float<T>(centred * scale * weight_[step][i] + bias[i]);
      }
      store_vector(out + begin, normed);
    });
  }

  const LayerNormLaunch& rows_;
  int64_t token_;
  int first_;  // element of the token's row
  RowVector<T, kSize> x_[kSteps];
  float weight_[kSteps][kSize];
};

template <class T, int kSize, int kSteps>
__global__ void __launch_bounds__((kMaxThreads<kSize, kSteps>))
    layer_norm_kernel(const __grid_constant__ LayerNormLaunch rows) {
  HeadNorm<T, kSize, kSteps>(rows).run();
}

template <class T>
cudaError_t launch_typed(const LayerNormLaunch& rows, cudaStream_t stream) {
  const bool wide = rows_are_vectors(rows.residual, rows.residual_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.delta, rows.delta_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.out, rows.out_stride, rows.size, sizeof(T)) &&
                    rows_are_vectors(rows.weight, 0, rows.size, sizeof(float)) &&
                    rows_are_vectors(rows.bias, 0, rows.size, sizeof(float));
  return for_block_shape<Pack<T>::kSize>(rows.size, wide, [&](auto shape) {
    constexpr int kSize = decltype(shape)::kVector, kSteps = decltype(shape)::kVectors;
    const int threads = threads_for(rows.size, kSize, kSteps);
    return launch(layer_norm_kernel<T, kSize, kSteps>,
                  dim3(static_cast<unsigned>(rows.tokens * rows.heads)),
                  dim3(static_cast<unsigned>(threads)), 0, stream, true, rows);
  });
}

}  // namespace

cudaError_t launch_layer_norm(const LayerNormLaunch& rows, cudaStream_t stream) {
  return for_element_type(
      rows.dtype, [&](auto element) { return launch_typed<decltype(element)>(rows, stream); });
}

}  // namespace lmdeploy::cuda
