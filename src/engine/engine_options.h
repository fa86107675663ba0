// EngineOptions: how a model is loaded and run. Names and defaults are LMDeploy's (surface 1.2, 5.5)
// where it has them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/status.h"

namespace lmdeploy {

struct EngineOptions {
  std::string device = "auto";
  std::string dtype = "auto";
  std::string model_format;
  std::string load_format = "auto";
  int tp = 1;
  int64_t session_len = 0;
  int max_batch_size = 0;
  double cache_max_entry_count = 0.8;
  int cache_block_seq_len = 64;
  bool enable_prefix_caching = false;
  std::string quant_policy = "0";
  double rope_scaling_factor = 0.0;
  bool use_logn_attn = false;
  int num_tokens_per_iter = 0;
  int max_prefill_iters = 1;
  int max_prefill_token_num = 0;
  int cpu_threads = 0;
  int max_queued_requests = 1024;
  bool batch_invariant = false;
  bool eager_mode = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "device", .help = "where the model runs; auto takes CUDA if a driver and a GPU answer",
           .choices = {"auto", "cpu", "cuda"}, .group = "Engine"}, self.device);
    visit({.name = "dtype", .help = "type of weights; auto keeps the checkpoint's (on CUDA blocks become bfloat16); "
                                    "the others convert every weight, blocks too",
           .choices = {"auto", "float32", "float16", "bfloat16"}, .group = "Engine"}, self.dtype);
    visit({.name = "model-format", .help = "weight format; empty detects it",
           .choices = {"", "hf", "llama", "gguf", "awq", "gptq", "fp8", "mxfp4", "compressed-tensors"}, .group = "Engine"}, self.model_format);
    visit({.name = "load-format", .help = "auto reads the weights; dummy makes random ones from config.json alone",
           .choices = {"auto", "dummy"}, .group = "Engine"}, self.load_format);
    visit({.name = "tp", .help = "tensor parallel ranks, on the CPU: threads that each hold a part of the model", .value_name = "N", .group = "Engine"}, self.tp);
    visit({.name = "session-len", .help = "longest prompt plus answer in tokens; 0 takes the model's own limit",
           .value_name = "TOKENS", .group = "Engine"}, self.session_len);
    visit({.name = "max-batch-size", .help = "most sequences in one step; 0 chooses by device (CPU 64, CUDA 256, "
                                             "from 64 GiB of GPU memory on 1024)",
           .aliases = {"instance-num"}, .value_name = "N", .group = "Engine"}, self.max_batch_size);
    visit({.name = "cache-max-entry-count",
           .help = "share of the memory left after weights that the KV cache takes; a number of blocks when >= 1",
           .value_name = "SHARE", .group = "Engine"}, self.cache_max_entry_count);
    visit({.name = "cache-block-seq-len", .help = "tokens in a KV block: 32, 64 or 128", .value_name = "TOKENS",
           .group = "Engine"}, self.cache_block_seq_len);
    visit({.name = "enable-prefix-caching", .help = "share the KV of equal prompt beginnings between requests",
           .group = "Engine"}, self.enable_prefix_caching);
    visit({.name = "quant-policy", .help = "KV cache quantization: 0 or none (the others are not in this version)",
           .choices = {"0", "4", "8", "16", "17", "42", "none", "int4", "int8", "fp8", "fp8_e5m2", "turbo_quant"},
           .group = "Engine"}, self.quant_policy);
    visit({.name = "rope-scaling-factor", .help = "dynamic NTK factor; 0 takes the model's own scaling",
           .value_name = "F", .group = "Engine"}, self.rope_scaling_factor);
    visit({.name = "use-logn-attn", .help = "logn attention: queries beyond the length of the training are scaled "
                                            "with the logarithm of their position; Qwen (v1) asks for it by itself",
           .group = "Engine"}, self.use_logn_attn);
    visit({.name = "num-tokens-per-iter", .help = "token budget of a step; 0 is max-prefill-token-num", .value_name = "TOKENS",
           .group = "Engine"}, self.num_tokens_per_iter);
    visit({.name = "max-prefill-iters", .help = "most steps that one prompt may be spread over before its budget grows",
           .value_name = "N", .group = "Engine"}, self.max_prefill_iters);
    visit({.name = "max-prefill-token-num", .help = "most tokens in one step; 0 chooses by device (CPU 512, CUDA 8192)", .value_name = "TOKENS",
           .group = "Engine"}, self.max_prefill_token_num);
    visit({.name = "cpu-threads", .help = "compute threads of the CPU backend; 0 takes every usable core, which is also the most (LMDEPLOY_CPU_THREADS)",
           .value_name = "N", .group = "Engine"}, self.cpu_threads);
    visit({.name = "max-queued-requests", .help = "answers that may wait (each of a request's n counts) before new requests get 429", .value_name = "N",
           .group = "Engine"}, self.max_queued_requests);
    visit({.name = "batch-invariant", .help = "the same text for a request whatever runs beside it, at some cost in speed; "
                                              "on a CPU without AMX it is always so",
           .group = "Engine"}, self.batch_invariant);
    visit({.name = "eager-mode", .help = "CUDA: queue the kernels of each step one by one instead of replaying captured graphs",
           .group = "Engine"}, self.eager_mode);
  }
};

constexpr int64_t kMostKvBlocks = 1'000'000'000;

// Values that are out of range (kInvalidArgument) or that the documents have and this version has
// not (kUnsupported), by the flag's name. Choices are the command line's to check.
Status check_options(const EngineOptions& options);

// Whether the model at `path` is what --model-format says it is. `stored`: "gguf", or a directory's
// stored_format(); "hf" is every directory.
Status check_model_format(const EngineOptions& options, const std::string& path,
                          std::string_view stored);

}  // namespace lmdeploy
