// The kernel that makes a forward's inputs of a step's upload (engine/step_upload.h), as its host
// code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

// Offsets are those of StepLayout. All memory is the device's.
struct StepInputsLaunch {
  static constexpr int kMaxGroups = 8;

  const int32_t* upload;
  const int32_t* slot_tokens;         // [slots] the token that each slot drew last
  int32_t* token_ids;                 // [tokens]
  int32_t* positions;                 // [tokens]
  int64_t* slot_maps[kMaxGroups];     // [tokens]: -1 where nothing is stored
  int32_t* block_tables[kMaxGroups];  // [rows][table_width]: -1 where there is no page
  int tokens, rows, groups;           // padding included
  int rows_word;                      // of the upload: rows that have a table
  int block_tokens, table_width;
  int ids_at, token_rows_at, query_start_at, kv_len_at, first_position_at, slots_at, tables_at;
};
cudaError_t launch_step_inputs(const StepInputsLaunch& inputs, cudaStream_t stream);

}  // namespace lmdeploy::cuda
