#include "engine/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

namespace lmdeploy {

namespace {

constexpr double kGiB = 1 << 30;
constexpr int64_t kLeastSessionLen = 32;

size_t meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  size_t kib = 0;
  while (file >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib << 10;
  }
  return size_t{1} << 30;
}

size_t cgroup_left() {
  std::ifstream limit_file("/sys/fs/cgroup/memory.max"), used_file("/sys/fs/cgroup/memory.current");
  size_t limit = 0, used = 0;
  if (!(limit_file >> limit) || !(used_file >> used)) return std::numeric_limits<size_t>::max();
  // File pages count as used, but the kernel drops them when memory is wanted.
  std::ifstream stat_file("/sys/fs/cgroup/memory.stat");
  std::string key;
  size_t bytes = 0;
  while (stat_file >> key >> bytes) {
    if (key == "inactive_file" || key == "active_file") used -= std::min(used, bytes);
  }
  return limit > used ? limit - used : 0;
}

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

std::string format_table(const MemoryPlanInput& input, const MemoryPlan& plan) {
  std::ostringstream out;
  const auto line = [&](const char* what, double gib, const std::string& note) {
    out << fmt::format("  {:<12} {:>9.3f} GiB  {}\n", what, gib, note);
  };
  line("weights", static_cast<double>(input.weight_bytes) / kGiB, "packed, in memory");
  line("workspace", static_cast<double>(input.workspace_bytes) / kGiB,
       fmt::format("a step of {} tokens, touched as needed", input.max_step_tokens));
  line("KV cache", static_cast<double>(plan.page_bytes) * plan.num_blocks / kGiB,
       fmt::format("{} blocks of {} tokens ({}), {} tokens in all, {:.1f} sequences of {}, touched as needed",
                   plan.num_blocks, input.block_tokens, dtype_name(input.kv_dtype), plan.kv_tokens,
                   plan.full_sequences, plan.session_len));
  line("left", (static_cast<double>(input.available_bytes) - static_cast<double>(input.workspace_bytes) -
                static_cast<double>(plan.page_bytes) * plan.num_blocks) / kGiB, "");
  return out.str();
}

}  // namespace

size_t available_host_memory() { return std::min(meminfo_available(), cgroup_left()); }

Result<MemoryPlan> plan_memory(const MemoryPlanInput& input) {
  MemoryPlan plan;
  plan.page_bytes = KvCache::page_bytes(input.groups, input.block_tokens, input.kv_dtype);
  const size_t left = input.available_bytes > input.workspace_bytes ? input.available_bytes - input.workspace_bytes : 0;
  double blocks = input.cache_max_entry_count >= 1
                      ? input.cache_max_entry_count
                      : std::floor(static_cast<double>(left) * input.cache_max_entry_count / static_cast<double>(plan.page_bytes));
  if (input.on_cpu) {
    blocks = std::min(blocks, static_cast<double>(sequence_blocks(input, input.session_len)) * input.max_batch_size);
  }
  plan.num_blocks = static_cast<int>(std::min(blocks, 1e9));
  plan.session_len = longest_sequence(input, plan.num_blocks);
  if (plan.session_len < std::min(kLeastSessionLen, input.session_len)) {
    return resource_exhausted(
        "no room for the KV cache: {:.2f} GiB are left after {:.2f} GiB of weights and {:.2f} GiB of workspace, "
        "--cache-max-entry-count {} makes {} blocks of {:.1f} MiB of them; raise --cache-max-entry-count, or lower "
        "--max-batch-size or --max-prefill-token-num",
        static_cast<double>(left) / kGiB, static_cast<double>(input.weight_bytes) / kGiB,
        static_cast<double>(input.workspace_bytes) / kGiB, input.cache_max_entry_count, plan.num_blocks,
        static_cast<double>(plan.page_bytes) / (1 << 20));
  }
  const double per_sequence = static_cast<double>(sequence_blocks(input, plan.session_len));
  plan.full_sequences = plan.num_blocks / per_sequence;
  plan.kv_tokens = static_cast<int64_t>(plan.full_sequences * static_cast<double>(plan.session_len));
  plan.table = format_table(input, plan);
  return plan;
}

}  // namespace lmdeploy
