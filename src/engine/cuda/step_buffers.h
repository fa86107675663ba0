// StepBuffers: the device memory that a step's inputs live in: the upload as it came, and what the
// step_inputs kernel makes of it. Addresses never change, so captured graphs may use them. There
// are two sides for uploads: the next step's comes while this one's is read.
#pragma once

#include <array>
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

  static constexpr int kSides = 2;

  // Of the largest upload.
  int64_t upload_words() const { return uploads_[0].shape()[0]; }
  int32_t* upload(int side) const { return uploads_[static_cast<size_t>(side)].data<int32_t>(); }
  // Queues the kernel that makes token ids, positions, slot maps and block tables.
  void expand(CudaStream& stream, const StepLayout& layout, int side, const SamplingTable& table);

  // Views of a step's inputs. `batch` keeps its vectors.
  void make_batch(const StepLayout& layout, int side, int max_query_len, int max_kv_len,
                  Batch& batch) const;
  TensorView samples(const StepLayout& layout, int side, int64_t count) const;
  const DeviceSamplingRow* sampling_rows(const StepLayout& layout, int side) const;

 private:
  TensorView words(int side, int at, int64_t count) const;

  const int block_tokens_;
  const int table_width_;
  std::array<Tensor, kSides> uploads_;  // i32
  Tensor token_ids_;                    // i32 [step tokens]
  Tensor positions_;                    // i32 [step tokens]
  std::vector<Tensor> slot_maps_;       // i64 [step tokens], by group
  std::vector<Tensor> block_tables_;    // i32 [max batch, table width], by group
};

}  // namespace lmdeploy::cuda
