#include "engine/cuda/step_buffers.h"

#include "engine/cuda/step_inputs.h"

namespace lmdeploy::cuda {

namespace {

int width_of(const RunnerOptions& options) {
  return static_cast<int>((options.session_len + options.block_tokens - 1) / options.block_tokens) +
         1;
}

}  // namespace

StepBuffers::StepBuffers(Device device, const RunnerOptions& options, int groups)
    : block_tokens_(options.block_tokens),
      table_width_(width_of(options)),
      token_ids_(Shape{options.step_tokens}, DType::kI32, device),
      positions_(Shape{options.step_tokens}, DType::kI32, device) {
  const int64_t words =
      most_upload_words(options.step_tokens, options.max_batch_size, groups, table_width_);
  for (Tensor& upload : uploads_) upload = Tensor(Shape{words}, DType::kI32, device);
  for (int group = 0; group < groups; ++group) {
    slot_maps_.emplace_back(Shape{options.step_tokens}, DType::kI64, device);
    block_tables_.emplace_back(Shape{options.max_batch_size, table_width_}, DType::kI32, device);
  }
}

void StepBuffers::expand(CudaStream& stream, const StepLayout& layout, int side,
                         const SamplingTable& table) {
  StepInputsLaunch inputs{.upload = upload(side),
                          .slot_tokens = table.last_token().data<int32_t>(),
                          .token_ids = token_ids_.data<int32_t>(),
                          .positions = positions_.data<int32_t>(),
                          .slot_maps = {},
                          .block_tables = {},
                          .tokens = layout.tokens,
                          .rows = layout.rows,
                          .groups = layout.groups,
                          .rows_word = kUploadRows,
                          .block_tokens = block_tokens_,
                          .table_width = table_width_,
                          .ids_at = layout.token_ids,
                          .token_rows_at = layout.token_rows,
                          .query_start_at = layout.query_start,
                          .kv_len_at = layout.kv_len,
                          .first_position_at = layout.first_position,
                          .slots_at = layout.slots,
                          .tables_at = layout.tables};
  for (size_t group = 0; group < slot_maps_.size(); ++group) {
    inputs.slot_maps[group] = slot_maps_[group].data<int64_t>();
    inputs.block_tables[group] = block_tables_[group].data<int32_t>();
  }
  stream.launched("step_inputs", launch_step_inputs(inputs, stream.handle()));
}

TensorView StepBuffers::words(int side, int at, int64_t count) const {
  return TensorView(upload(side) + at, DType::kI32, Shape{count}, token_ids_.view().device());
}

void StepBuffers::make_batch(const StepLayout& layout, int side, int max_query_len, int max_kv_len,
                             Batch& batch) const {
  batch.num_tokens = layout.tokens;
  batch.num_sequences = layout.rows;
  batch.max_query_len = max_query_len;
  batch.max_kv_len = max_kv_len;
  batch.token_ids = token_ids_.view().rows(0, layout.tokens);
  batch.positions = positions_.view().rows(0, layout.tokens);
  batch.token_rows = words(side, layout.token_rows, layout.tokens);
  batch.query_start = words(side, layout.query_start, layout.rows + 1);
  batch.kv_len = words(side, layout.kv_len, layout.rows);
  batch.rope_len = words(side, layout.rope_len, layout.rows);
  batch.logit_rows = words(side, layout.logits, layout.logit_rows);
  batch.groups.resize(slot_maps_.size());
  for (size_t group = 0; group < slot_maps_.size(); ++group) {
    batch.groups[group] = {block_tables_[group].view().rows(0, layout.rows),
                           slot_maps_[group].view().rows(0, layout.tokens)};
  }
}

TensorView StepBuffers::samples(const StepLayout& layout, int side, int64_t count) const {
  return words(side, layout.samples, count);
}

const DeviceSamplingRow* StepBuffers::sampling_rows(const StepLayout& layout, int side) const {
  return reinterpret_cast<const DeviceSamplingRow*>(upload(side) + layout.sampling);
}

}  // namespace lmdeploy::cuda
