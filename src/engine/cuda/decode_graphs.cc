#include "engine/cuda/decode_graphs.h"

#include <algorithm>

namespace lmdeploy::cuda {

namespace {

cudaGraphExec_t capture(CudaStream& stream, const char* name, FunctionRef<void()> issue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  // Relaxed: a kernel that is used for the first time may be loaded meanwhile.
  stream.launched(name, cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeRelaxed));
  issue();
  stream.launched(name, cudaStreamEndCapture(stream.handle(), &graph));
  if (graph == nullptr) return nullptr;
  stream.launched(name, cudaGraphInstantiate(&executable, graph, 0));
  cudaGraphDestroy(graph);
  return executable;
}

}  // namespace

DecodeGraphs::DecodeGraphs(int most_rows) {
  for (int rows = 1; rows < most_rows; rows = rows < 8 ? 2 * rows : rows + 8)
    buckets_.push_back(rows);
  buckets_.push_back(most_rows);
}

DecodeGraphs::~DecodeGraphs() {
  destroy(forwards_);
  destroy(samplers_);
}

void DecodeGraphs::destroy(Graphs& graphs) {
  for (const auto& [key, graph] : graphs) {
    if (graph != nullptr) cudaGraphExecDestroy(graph);
  }
  graphs.clear();
}

int DecodeGraphs::bucket_of(int rows) const {
  const auto bucket = std::lower_bound(buckets_.begin(), buckets_.end(), rows);
  CHECK(bucket != buckets_.end(), "{} rows; at most {}", rows, buckets_.back());
  return *bucket;
}

void DecodeGraphs::replay(CudaStream& stream, cudaGraphExec_t& graph, const char* name,
                          FunctionRef<void()> issue) {
  if (graph == nullptr) graph = capture(stream, name, issue);
  if (graph != nullptr) stream.launched(name, cudaGraphLaunch(graph, stream.handle()));
}

void DecodeGraphs::forward(CudaStream& stream, int bucket, int side, FunctionRef<void()> issue) {
  replay(stream, forwards_[{bucket, side}], "the graph of a decode step", issue);
}

void DecodeGraphs::sample(CudaStream& stream, int bucket, int side, SamplingFeatures features,
                          FunctionRef<void()> issue) {
  const int variant = 2 * features.bits() + side;
  replay(stream, samplers_[{bucket, variant}], "the graph of a sampler", issue);
}

void DecodeGraphs::drop_samplers() { destroy(samplers_); }

}  // namespace lmdeploy::cuda
