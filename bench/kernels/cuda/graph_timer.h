// Times an op as the engine runs it: many calls in one CUDA graph, over copies of the data that do
// not fit into the L2 cache together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/cuda/stream.h"

namespace lmdeploy {

// Median over the replays of the seconds of one call, op(0) ... op(calls - 1) a replay. The first
// calls are outside the graph, so that scratch memory has grown.
template <class Op>
double time_in_graph(Stream& any_stream, int calls, Op&& op) {
  constexpr int kWarm = 3, kReplays = 12;
  const cudaStream_t stream = static_cast<cuda::CudaStream&>(any_stream).handle();
  op(0);
  any_stream.synchronize();
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) op(i);
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  CUDA_CHECK(cudaGraphInstantiate(&replay, graph, 0));
  cudaEvent_t begin, end;
  CUDA_CHECK(cudaEventCreate(&begin));
  CUDA_CHECK(cudaEventCreate(&end));
  std::vector<double> seconds;
  for (int i = 0; i < kWarm + kReplays; ++i) {
    CUDA_CHECK(cudaEventRecord(begin, stream));
    CUDA_CHECK(cudaGraphLaunch(replay, stream));
    CUDA_CHECK(cudaEventRecord(end, stream));
    CUDA_CHECK(cudaEventSynchronize(end));
    float ms = 0;
    CUDA_CHECK(cudaEventElapsedTime(&ms, begin, end));
    if (i >= kWarm) seconds.push_back(ms * 1e-3 / calls);
  }
  CUDA_CHECK(cudaGraphExecDestroy(replay));
  CUDA_CHECK(cudaGraphDestroy(graph));
  CUDA_CHECK(cudaEventDestroy(begin));
  CUDA_CHECK(cudaEventDestroy(end));
  std::nth_element(seconds.begin(), seconds.begin() + kReplays / 2, seconds.end());
  return seconds[kReplays / 2];
}

// How many copies of `bytes` to rotate through.
inline int copies_beyond_l2(double bytes) {
  constexpr double kWorkingSet = 150e6;
  return static_cast<int>(std::clamp(kWorkingSet / bytes, 2.0, 128.0));
}

constexpr double kReadBytesPerSecond = 2.99e12;  // H100 80GB, measured: issue 4

}  // namespace lmdeploy
