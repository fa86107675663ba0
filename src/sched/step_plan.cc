#include "sched/step_plan.h"

namespace lmdeploy {

void StepPlan::clear() {
  step = 0;
  num_groups = 0;
  num_decode_rows = 0;
  total_tokens = 0;
  rows.clear();
  tokens.clear();
  row_blocks.clear();
  block_ids.clear();
  copies.clear();
  adapter_loads.clear();
}

}  // namespace lmdeploy
