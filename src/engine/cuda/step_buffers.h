// StepBuffers: the device memory that a step's inputs live in: the upload as it came, and what the
// step_inputs kernel makes of it. Addresses never change, so captured graphs may use them.
#pragma once

#include <vector>

#include "engine/model_runner.h"
#include "engine/step_upload.h"
#include "kernels/device_sampling.h"
#include "nn/batch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

class StepBuffers {
 public:
  StepBuffers(Device device, const RunnerOptions& options, int groups);

  // Of the largest upload.
  int64_t upload_words() const { return upload_.shape()[0]; }
  // Copies the words of `layout`, which are pinned, to the device.
  void upload(CudaStream& stream, const int32_t* words, int64_t count);
  // Queues the kernel that makes token ids, positions, slot maps and block tables.
  void expand(CudaStream& stream, const StepLayout& layout, const SamplingTable& table);

  // Views of a step's inputs. `batch` keeps its vectors.
  void make_batch(const StepLayout& layout, int max_query_len, int max_kv_len, Batch& batch) const;
  TensorView samples(const StepLayout& layout, int64_t count) const;
  const DeviceSamplingRow* sampling_rows(const StepLayout& layout) const;

 private:
  TensorView words(int at, int64_t count) const;

  const int block_tokens_;
  const int table_width_;
  Tensor upload_;     // i32
  Tensor token_ids_;  // i32 [step tokens]
  Tensor positions_;  // i32 [step tokens]
  std::vector<Tensor> slot_maps_;     // i64 [step tokens], by group
  std::vector<Tensor> block_tables_;  // i32 [max batch, table width], by group
};

}  // namespace lmdeploy::cuda
