#include "engine/model_startup.h"

#include <algorithm>

#include "base/clock.h"
#include "engine/device_choice.h"
#include "engine/rank_group.h"
#include "kernels/device_sampling.h"
#include "engine/kv_type.h"

namespace lmdeploy {

namespace {

constexpr int kCpuBatchSize = 64, kCudaBatchSize = 256;
// A GPU of so much memory has KV pages for more sequences, and products that gain by more rows.
constexpr int kLargeCudaBatchSize = 1024;
constexpr size_t kLargeCudaBytes = size_t{64} << 30;
constexpr int kCpuPrefillTokens = 512, kCudaPrefillTokens = 8192;
// Of a GPU's memory: what captured graphs and lazily loaded kernels take once requests come.
constexpr size_t kGraphBytes = size_t{256} << 20;
constexpr double kGiB = 1 << 30;

int usual_batch_size(Device device) {
  if (device.is_cpu()) return kCpuBatchSize;
  const Result<DeviceMemory> memory = device_memory(device);
  return memory.ok() && memory->total >= kLargeCudaBytes ? kLargeCudaBatchSize : kCudaBatchSize;
}

RunnerOptions runner_options(const EngineOptions& options, Device device) {
  const bool cpu = device.is_cpu();
  const int batch = options.max_batch_size > 0 ? options.max_batch_size : usual_batch_size(device);
  const int prefill = options.max_prefill_token_num > 0 ? options.max_prefill_token_num
                      : cpu                             ? kCpuPrefillTokens
                                                        : kCudaPrefillTokens;
  return {.max_batch_size = batch,
          .step_tokens = std::max(prefill, batch),
          .session_len = options.session_len,
          .block_tokens = options.cache_block_seq_len,
          .batch_invariant = options.batch_invariant,
          .eager_mode = options.eager_mode};
}

// For one rank of `ranks`.
Result<HostMemory> available_memory(Device device, int ranks) {
  if (device.is_cpu()) {
    HostMemory memory = host_memory();
    if (ranks == 1) return memory;
    return HostMemory{memory.available / static_cast<size_t>(ranks),
                      fmt::format("for each of {} ranks, {}", ranks, memory.limit)};
  }
  ASSIGN_OR_RETURN(const DeviceMemory memory, device_memory(device));
  return HostMemory{memory.free, fmt::format("the free memory of GPU {}", device.index)};
}

MemoryPlanInput plan_input(const ModelInfo& info, const EngineOptions& options,
                           const RunnerOptions& runner, Device device, HostMemory available,
                           size_t workspace) {
  return {.groups = info.kv_groups,
          .kv_dtype = runner.kv_dtype,
          .block_tokens = runner.block_tokens,
          .memory = std::move(available),
          .weight_bytes = info.weight_bytes,
          .workspace_bytes = workspace,
          .max_batch_size = runner.max_batch_size,
          .session_len = runner.session_len,
          .max_step_tokens = runner.step_tokens,
          .cache_max_entry_count = options.cache_max_entry_count,
          .on_cpu = device.is_cpu()};
}

// The streams of the ranks, which share the CPU's threads.
Result<std::vector<ModelRank>> make_ranks(Device device, int count, int threads,
                                          const CpuIsa& isa) {
  if (count > 1 && !device.is_cpu()) {
    return unsupported("--tp {} on GPUs is not in this version; leave it at 1, or use --device cpu",
                       count);
  }
  std::vector<ModelRank> ranks(static_cast<size_t>(count));
  const int share = std::max(1, threads / count);
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(ranks[static_cast<size_t>(i)].stream,
                     make_stream(device, share, isa, {.first = i * share}));
  }
  return ranks;
}

// The runner of one rank or of all.
Result<std::unique_ptr<ModelRunner>> make_runner(std::vector<ModelRank> ranks,
                                                 const RunnerOptions& options) {
  if (ranks.size() > 1) {
    return std::unique_ptr<ModelRunner>(std::make_unique<RankGroup>(std::move(ranks), options));
  }
  return make_model_runner(std::move(ranks[0].model), std::move(ranks[0].stream), options);
}

std::string describe(const Stream& stream, const CpuIsa& isa, int threads) {
  if (stream.device().is_cpu()) return fmt::format("cpu ({}, {} threads)", isa.name(), threads);
  return fmt::format("cuda:{} ({})", stream.device().index, probe_cuda().detail);
}

// Weights that take more memory than in their files: fp8 everywhere, blocks on a GPU.
void report_dequantization(const Checkpoint& checkpoint, const ModelInfo& info, Device device,
                           Logger& logger) {
  size_t fp8 = 0, blocks = 0;
  for (const auto& [name, record] : checkpoint.tensors()) {
    if (record.scales.data != nullptr) fp8 += record.bytes;
    if (is_block_quantized(record.dtype) && !device.is_cpu()) blocks += record.bytes;
  }
  const auto report = [&](const char* what, size_t bytes, const char* become) {
    if (bytes == 0) return;
    logger.info("{} weights ({:.2f} GiB in the files) become {}: all weights take {:.2f} GiB", what,
                static_cast<double>(bytes) / kGiB, become,
                static_cast<double>(info.weight_bytes) / kGiB);
  };
  report("fp8", fp8, dtype_name(DType::kBF16));
  report("block-quantized", blocks, dtype_name(info.activations));
}

// With what the warm-up has really taken, which counts as available here: the plan takes it off.
Result<MemoryPlan> plan_device_memory(const ModelInfo& info, const EngineOptions& options,
                                      const RunnerOptions& runner, Device device,
                                      size_t workspace) {
  ASSIGN_OR_RETURN(HostMemory memory, available_memory(device, 1));
  memory.available -= std::min(memory.available, kGraphBytes);
  memory.available += info.weight_bytes + workspace;
  return plan_memory(plan_input(info, options, runner, device, std::move(memory), workspace));
}

}  // namespace

// The plan counts bytes; limits that it does not know show here, before a Tensor ends the process.
Status check_allocation(Device device, size_t bytes) {
  const Result<void*> memory = device_allocate(device, bytes);
  if (memory.ok()) {
    device_free(device, *memory, bytes);
    return {};
  }
  return resource_exhausted(
      "the KV cache of {:.2f} GiB cannot be had: {}; lower --cache-max-entry-count, --session-len or "
      "--max-batch-size, or raise the process's limits (ulimit)",
      static_cast<double>(bytes) / kGiB, memory.status().message());
}

Status check_vocabulary(int64_t vocab_size, Device device) {
  if (device.is_cpu() || vocab_size <= SamplingTable::kMostTokens) return {};
  return invalid_argument(
      "the model's vocabulary has {} tokens; sampling on a GPU takes at most {}: use --device cpu",
      vocab_size, SamplingTable::kMostTokens);
}

StartupClock::StartupClock() : last_(monotonic_seconds()) {}

void StartupClock::phase_done(const char* name) {
  const double now = monotonic_seconds();
  table_ += fmt::format("  {:<12} {:>9.3f} s\n", name, now - last_);
  last_ = now;
}

Result<StartedModel> start_model(const Checkpoint& checkpoint, const EngineOptions& options,
                                 Device device, const LoadProgress& progress, Logger& logger,
                                 StartupClock& clock) {
  ASSIGN_OR_RETURN(const CpuIsa isa, CpuIsa::from_environment());
  ASSIGN_OR_RETURN(const int threads, cpu_thread_count(options.cpu_threads, logger));
  ASSIGN_OR_RETURN(std::vector<ModelRank> ranks, make_ranks(device, options.tp, threads, isa));
  clock.phase_done("device");
  StartedModel started;
  started.options = runner_options(options, device);
  started.device = describe(*ranks[0].stream, isa, threads);

  const LoadConsent plan_before_loading = [&](const ModelInfo& needs) -> Status {
    RETURN_IF_ERROR(check_vocabulary(needs.vocab_size, device));
    RunnerOptions& runner = started.options;
    runner.kv_dtype = device.is_cpu() ? cpu_kv_type(options.dtype, checkpoint) : needs.activations;
    if (runner.session_len == 0) runner.session_len = needs.max_position;
    ASSIGN_OR_RETURN(HostMemory available, available_memory(device, options.tp));
    const size_t workspace = estimated_workspace(needs, runner);
    ASSIGN_OR_RETURN(started.memory, plan_memory(plan_input(needs, options, runner, device,
                                                            std::move(available), workspace)));
    return {};
  };
  ModelOptions model_options{.dtype = options.dtype,
                             .rope_scaling_factor = options.rope_scaling_factor,
                             .use_logn_attn = options.use_logn_attn,
                             .batch_invariant = options.batch_invariant,
                             .dummy_weights = options.load_format == "dummy"};
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    model_options.parallel = {static_cast<int>(rank), options.tp};
    ASSIGN_OR_RETURN(ranks[rank].model,
                     load_model(checkpoint, model_options, *ranks[rank].stream, progress,
                                rank == 0 ? plan_before_loading : LoadConsent()));
  }
  clock.phase_done("weights");

  ASSIGN_OR_RETURN(started.runner, make_runner(std::move(ranks), started.options));
  const ModelInfo& info = started.runner->model_info();
  report_dequantization(checkpoint, info, device, logger);
  if (!device.is_cpu()) {
    ASSIGN_OR_RETURN(started.memory, plan_device_memory(info, options, started.options, device,
                                                        started.runner->workspace_bytes()));
    clock.phase_done("warm-up");
  }
  if (options.session_len > started.memory.session_len) {
    logger.warning("--session-len {} does not fit the KV cache; it is {} now", options.session_len,
                   started.memory.session_len);
  }
  RETURN_IF_ERROR(check_allocation(
      device, started.memory.page_bytes * static_cast<size_t>(started.memory.num_blocks) *
                  static_cast<size_t>(options.tp)));
  started.runner->use_cache(std::make_unique<KvCache>(info.kv_groups, started.options.block_tokens,
                                                      started.memory.num_blocks,
                                                      started.options.kv_dtype, device));
  clock.phase_done("KV cache");
  return started;
}

}  // namespace lmdeploy
