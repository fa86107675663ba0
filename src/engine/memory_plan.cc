#include "engine/memory_plan.h"

#include <algorithm>
#include <cmath>

namespace lmdeploy {

namespace {

constexpr double kGiB = 1 << 30;
constexpr int64_t kLeastSessionLen = 32;

// Blocks that one sequence of `tokens` tokens can hold at once.
int64_t sequence_blocks(const MemoryPlanInput& input, int64_t tokens) {
  int64_t blocks = 0;
  for (const KvGroup& group : input.groups) {
    int64_t held = tokens;
    if (group.kind == KvGroup::Kind::kWindow) {
      held = std::min<int64_t>(tokens, int64_t{group.window} + input.max_step_tokens + input.block_tokens);
    }
    blocks += (held + input.block_tokens - 1) / input.block_tokens;
  }
  return blocks;
}

// The longest sequence, at most session_len, that `blocks` blocks hold.
int64_t longest_sequence(const MemoryPlanInput& input, int64_t blocks) {
  int64_t low = 0, high = input.session_len;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (sequence_blocks(input, middle) <= blocks) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

double gib(double bytes) { return bytes / kGiB; }

// "A GiB of weights and B GiB of workspace".
std::string fixed_parts(const MemoryPlanInput& input) {
  return fmt::format("{:.2f} GiB of weights and {:.2f} GiB of workspace",
                     gib(static_cast<double>(input.weight_bytes)),
                     gib(static_cast<double>(input.workspace_bytes)));
}

// "C GiB are available (the machine's MemAvailable)".
std::string available(const MemoryPlanInput& input) {
  return fmt::format("{:.2f} GiB are available ({})", gib(static_cast<double>(input.memory.available)),
                     input.memory.limit);
}

Status check_fixed_parts(const MemoryPlanInput& input, double fixed) {
  if (fixed < static_cast<double>(input.memory.available)) return {};
  return resource_exhausted(
      "the model does not fit: {} are {:.2f} GiB, but {}; free memory, take a smaller or a quantized "
      "model (GGUF), leave --dtype at auto, or lower --max-prefill-token-num and --max-batch-size",
      fixed_parts(input), gib(fixed), available(input));
}

Status check_blocks(const MemoryPlanInput& input, double blocks, double page_bytes, double fixed) {
  const double left = static_cast<double>(input.memory.available) - fixed;
  if (blocks * page_bytes <= left) return {};
  return resource_exhausted(
      "the KV cache does not fit: {} blocks of {:.2f} MiB (--cache-max-entry-count {}), {} are {:.2f} "
      "GiB, but {}; {} blocks fit: lower --cache-max-entry-count, make it a share below 1, or lower "
      "--session-len or --max-batch-size",
      blocks, page_bytes / (1 << 20), input.cache_max_entry_count, fixed_parts(input),
      gib(fixed + blocks * page_bytes), available(input), std::floor(left / page_bytes));
}

std::string format_table(const MemoryPlanInput& input, const MemoryPlan& plan) {
  const double kv = static_cast<double>(plan.page_bytes) * plan.num_blocks;
  const auto weights = static_cast<double>(input.weight_bytes);
  const auto workspace = static_cast<double>(input.workspace_bytes);
  std::string out;
  const auto line = [&](const char* what, double bytes, const std::string& note) {
    out += fmt::format("  {:<12} {:>9.3f} GiB  {}\n", what, gib(bytes), note);
  };
  const char* const touched = input.on_cpu ? ", touched as needed" : "";
  line("weights", weights, input.on_cpu ? "packed, in memory" : "");
  line("workspace", workspace, fmt::format("a step of {} tokens{}", input.max_step_tokens, touched));
  line("KV cache", kv,
       fmt::format("{} blocks of {} tokens ({}), {} tokens in all, {:.1f} sequences of {}{}",
                   plan.num_blocks, input.block_tokens, dtype_name(input.kv_dtype), plan.kv_tokens,
                   plan.full_sequences, plan.session_len, touched));
  line("left", static_cast<double>(input.memory.available) - weights - workspace - kv,
       fmt::format("of {}", input.memory.limit));
  return out;
}

}  // namespace

Result<MemoryPlan> plan_memory(const MemoryPlanInput& input) {
  MemoryPlan plan;
  plan.page_bytes = KvCache::page_bytes(input.groups, input.block_tokens, input.kv_dtype);
  const auto page_bytes = static_cast<double>(plan.page_bytes);
  const double fixed = static_cast<double>(input.weight_bytes) + static_cast<double>(input.workspace_bytes);
  RETURN_IF_ERROR(check_fixed_parts(input, fixed));
  const double left = static_cast<double>(input.memory.available) - fixed;
  double blocks = input.cache_max_entry_count >= 1 ? input.cache_max_entry_count
                                                   : std::floor(left * input.cache_max_entry_count / page_bytes);
  if (input.on_cpu) {
    blocks = std::min(blocks, static_cast<double>(sequence_blocks(input, input.session_len)) * input.max_batch_size);
  }
  RETURN_IF_ERROR(check_blocks(input, blocks, page_bytes, fixed));
  plan.num_blocks = static_cast<int>(std::min(blocks, static_cast<double>(kMostKvBlocks)));
  plan.session_len = longest_sequence(input, plan.num_blocks);
  if (plan.session_len < std::min(kLeastSessionLen, input.session_len)) {
    return resource_exhausted(
        "no room for the KV cache: {} blocks of {:.2f} MiB (--cache-max-entry-count {}) hold no sequence of {} "
        "tokens; {} are {:.2f} GiB, and {}; raise --cache-max-entry-count, or lower --max-batch-size or "
        "--max-prefill-token-num",
        plan.num_blocks, page_bytes / (1 << 20), input.cache_max_entry_count, kLeastSessionLen, fixed_parts(input),
        gib(fixed), available(input));
  }
  const double per_sequence = static_cast<double>(sequence_blocks(input, plan.session_len));
  plan.full_sequences = plan.num_blocks / per_sequence;
  plan.kv_tokens = static_cast<int64_t>(plan.full_sequences * static_cast<double>(plan.session_len));
  plan.table = format_table(input, plan);
  return plan;
}

}  // namespace lmdeploy
