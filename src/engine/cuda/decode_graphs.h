// DecodeGraphs: captured decode steps. A step of B rows runs the graph of the smallest bucket that
// holds them, the rest being padding; each graph is captured when its bucket is first met.
#pragma once

#include <cuda_runtime.h>

#include <map>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "kernels/device_sampling.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

// Used by one thread, before the stream goes.
class DecodeGraphs {
 public:
  // Buckets 1, 2, 4, 8, and multiples of 8 up to `most_rows`, which is the last.
  explicit DecodeGraphs(int most_rows);
  ~DecodeGraphs();
  DecodeGraphs(const DecodeGraphs&) = delete;
  DecodeGraphs& operator=(const DecodeGraphs&) = delete;

  int bucket_of(int rows) const;
  const std::vector<int>& buckets() const { return buckets_; }

  // Replays the bucket's forward (sampler) on a side of the step's buffers; `issue` queues its
  // kernels when it has to be captured.
  void forward(CudaStream& stream, int bucket, int side, FunctionRef<void()> issue);
  void sample(CudaStream& stream, int bucket, int side, SamplingFeatures features,
              FunctionRef<void()> issue);
  // Forgets the samplers: they read memory that is going.
  void drop_samplers();

 private:
  using Graphs = std::map<std::pair<int, int>, cudaGraphExec_t>;
  static void replay(CudaStream& stream, cudaGraphExec_t& graph, const char* name,
                     FunctionRef<void()> issue);
  static void destroy(Graphs& graphs);

  std::vector<int> buckets_;
  Graphs forwards_;  // by (bucket, side)
  Graphs samplers_;  // by (bucket, features and side)
};

}  // namespace lmdeploy::cuda
