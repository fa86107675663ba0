#include "engine/engine_options.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace lmdeploy {

namespace {

struct Bound {
  const char* name;
  double value, least, most;
};

Status check_bounds(const EngineOptions& options) {
  constexpr double kMostTokens = 1 << 30;  // positions are int32
  const std::array<Bound, 8> bounds = {{
      {"session-len", static_cast<double>(options.session_len), 0, kMostTokens},
      {"max-batch-size", static_cast<double>(options.max_batch_size), 0, 1 << 16},
      {"rope-scaling-factor", options.rope_scaling_factor, 0, 1e6},
      {"num-tokens-per-iter", static_cast<double>(options.num_tokens_per_iter), 0, kMostTokens},
      {"max-prefill-iters", static_cast<double>(options.max_prefill_iters), 1, kMostTokens},
      {"max-prefill-token-num", static_cast<double>(options.max_prefill_token_num), 0, 1 << 24},
      {"cpu-threads", static_cast<double>(options.cpu_threads), 0, 1024},
      {"max-queued-requests", static_cast<double>(options.max_queued_requests), 1, 1e9},
  }};
  for (const Bound& bound : bounds) {
    if (bound.value >= bound.least && bound.value <= bound.most) continue;
    return invalid_argument("--{} is {}; expected {} to {}", bound.name, bound.value, bound.least,
                            bound.most);
  }
  return {};
}

Status check_cache(const EngineOptions& options) {
  const int tokens = options.cache_block_seq_len;
  if (tokens != 32 && tokens != 64 && tokens != 128) {
    return invalid_argument("--cache-block-seq-len is {}; expected 32, 64 or 128", tokens);
  }
  const double count = options.cache_max_entry_count;
  if (!(count > 0) || (count >= 1 && (std::floor(count) != count || count > kMostKvBlocks))) {
    return invalid_argument(
        "--cache-max-entry-count is {}; expected a share of the free memory between 0 and 1, or a "
        "whole number of blocks up to {}",
        count, kMostKvBlocks);
  }
  if (options.quant_policy == "0" || options.quant_policy == "none") return {};
  return unsupported(
      "--quant-policy {} (KV cache quantization) is not in this version; leave it at 0",
      options.quant_policy);
}

}  // namespace

Status check_options(const EngineOptions& options) {
  constexpr int kMostRanks = 64;
  if (options.tp < 1 || options.tp > kMostRanks) {
    return invalid_argument("--tp is {}; expected 1 to {} ranks", options.tp, kMostRanks);
  }
  const std::string& format = options.model_format;
  if (format == "llama") {
    return unsupported(
        "--model-format llama (Meta's consolidated.*.pth and params.json) is not in this version; "
        "take the model's Hugging Face files and leave --model-format away");
  }
  for (const char* later : {"awq", "gptq"}) {
    if (format != later) continue;
    return unsupported(
        "--model-format {} (quantized weights) is not in this version; use the model in 16 or 32 "
        "bit, or a GGUF file of it, and leave --model-format away",
        format);
  }
  RETURN_IF_ERROR(check_cache(options));
  return check_bounds(options);
}

Status check_model_format(const EngineOptions& options, const std::string& path,
                          std::string_view stored) {
  const std::string& format = options.model_format;
  const bool as_said =
      format.empty() || format == stored || (format == "hf" && stored != "gguf");
  if (as_said) return {};
  return invalid_argument(
      "--model-format is {}, but {} is {} of {} weights; leave --model-format away", format, path,
      stored == "gguf" ? "a file" : "a directory", stored == "hf" ? "unquantized" : stored);
}

}  // namespace lmdeploy
