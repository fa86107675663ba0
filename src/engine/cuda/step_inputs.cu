#include "engine/cuda/step_inputs.h"

#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

struct UploadedTable {
  const int32_t* entries;
  int width;
};

__device__ UploadedTable uploaded_table(const StepInputsLaunch& in, int group) {
  int at = in.tables_at;
  for (int g = 0; g < group; ++g) at += in.upload[in.rows_word] * in.upload[g];
  return {in.upload + at, in.upload[group]};
}

__device__ void make_token(const StepInputsLaunch& in, int t) {
  const int row = in.upload[in.token_rows_at + t];
  const int position =
      in.upload[in.first_position_at + row] + t - in.upload[in.query_start_at + row];
  int id = in.upload[in.ids_at + t];
  if (id < 0) id = in.slot_tokens[in.upload[in.slots_at + row]];
  in.token_ids[t] = id < 0 ? 0 : id;  // a slot without a token belongs to a row that has failed
  in.positions[t] = position;
  const int block = position / in.block_tokens;
  for (int g = 0; g < in.groups; ++g) {
    const UploadedTable table = uploaded_table(in, g);
    const bool has_page = in.upload[in.kv_len_at + row] > 0 && block < table.width;
    const int page = has_page ? table.entries[row * table.width + block] : -1;
    in.slot_maps[g][t] =
        page < 0 ? -1 : int64_t{page} * in.block_tokens + position % in.block_tokens;
  }
}

__device__ void make_table_entry(const StepInputsLaunch& in, int64_t i) {
  const int64_t each = int64_t{in.rows} * in.table_width;
  const int group = static_cast<int>(i / each);
  const int row = static_cast<int>(i % each / in.table_width);
  const int column = static_cast<int>(i % in.table_width);
  const UploadedTable table = uploaded_table(in, group);
  const bool has_page = row < in.upload[in.rows_word] && column < table.width;
  in.block_tables[group][int64_t{row} * in.table_width + column] =
      has_page ? table.entries[row * table.width + column] : -1;
}

__global__ void step_inputs_kernel(const __grid_constant__ StepInputsLaunch in) {
  wait_for_previous();
  allow_next();
  const int64_t first = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t t = first; t < in.tokens; t += stride) make_token(in, static_cast<int>(t));
  const int64_t entries = int64_t{in.groups} * in.rows * in.table_width;
  for (int64_t i = first; i < entries; i += stride) make_table_entry(in, i);
}

}  // namespace

cudaError_t launch_step_inputs(const StepInputsLaunch& inputs, cudaStream_t stream) {
  constexpr int64_t kMaxBlocks = 528;  // four for each multiprocessor of an H100
  const int64_t entries = int64_t{inputs.groups} * inputs.rows * inputs.table_width;
  const int64_t most = entries > inputs.tokens ? entries : inputs.tokens;
  const int64_t blocks = (most + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks));
  // The upload is a copy, which has no part in programmatic launches: wait for it whole.
  return launch(step_inputs_kernel, grid, dim3(kThreads), 0, stream, false, inputs);
}

}  // namespace lmdeploy::cuda
