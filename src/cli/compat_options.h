// Options of LMDeploy's commands that configure nothing in this engine (accepted, with one notice)
// or whose effect this version does not have (refused, saying what to do instead). DESIGN 7.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/options.h"

namespace lmdeploy::cli {

// Of every command that loads a model.
struct ModelCompatOptions {
  std::string backend = "turbomind";
  bool trust_remote_code = false, empty_init = false;
  bool enable_microbatch = false, enable_eplb = false;
  std::string communicator = "nccl", distributed_executor_backend, logprobs_mode = "raw_logprobs";
  int async = 1, kernel_block_size = -1;
  std::vector<std::string> cudagraph_capture_batch_sizes;
  int prefix_cache_state_budget = 0, prefix_cache_decode_state_interval = 0;
  bool language_model_only = false, disable_vision_encoder = false;
  int vision_max_batch_size = 1;
  std::optional<int64_t> dllm_block_length, dllm_denoising_steps;
  std::string dllm_unmasking_strategy = "low_confidence_dynamic";
  double dllm_confidence_threshold = 0.85;

  std::string revision, download_dir, hf_overrides;
  std::vector<std::string> adapters;
  std::string speculative_algorithm, speculative_draft_model;
  int speculative_num_draft_tokens = 1;
  int dp = 1, ep = 1, cp = 1, nnodes = 1, node_rank = 0;
  std::string dist_init_addr, role = "Hybrid", migration_backend = "DLSlime";

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    describe_accepted(visit, self);
    describe_refused(visit, self);
  }

 private:
  static constexpr const char* kGroup = "Compatibility";

  template <class Visitor, class Self>
  static void describe_accepted(Visitor& visit, Self& self) {
    visit({.name = "backend",
           .help = "LMDeploy has two engines; here is one, and both names configure it",
           .choices = {"turbomind", "pytorch"},
           .group = kGroup},
          self.backend);
    visit({.name = "trust-remote-code",
           .help = "allow Python code inside a checkpoint",
           .group = kGroup,
           .notice = "no code of a checkpoint is ever run"},
          self.trust_remote_code);
    visit({.name = "enable-microbatch",
           .help = "overlap two halves of a batch in expert-parallel models",
           .group = kGroup,
           .notice = "the engine plans its steps itself"},
          self.enable_microbatch);
    visit({.name = "enable-eplb",
           .help = "balance the load of experts between devices",
           .group = kGroup,
           .notice = "one device holds every expert"},
          self.enable_eplb);
    visit({.name = "communicator",
           .help = "library for sums between GPUs",
           .choices = {"nccl", "native", "cuda-ipc"},
           .group = kGroup,
           .notice = "the engine chooses"},
          self.communicator);
    visit({.name = "distributed-executor-backend",
           .help = "how worker processes are started",
           .choices = {"", "uni", "mp", "ray"},
           .group = kGroup,
           .notice = "ranks are threads of one process"},
          self.distributed_executor_backend);
    visit({.name = "async",
           .help = "plan the next step while the device runs",
           .group = kGroup,
           .notice = "on a GPU the next step is always planned meanwhile; on the CPU never"},
          self.async);
    visit({.name = "empty-init",
           .help = "start without weights",
           .group = kGroup,
           .notice = "weights are loaded; --load-format dummy starts without them"},
          self.empty_init);
    visit({.name = "kernel-block-size",
           .help = "tokens in a block as attention kernels see it",
           .group = kGroup,
           .notice = "it is --cache-block-seq-len"},
          self.kernel_block_size);
    visit({.name = "cudagraph-capture-batch-sizes",
           .help = "batch sizes to capture CUDA graphs for",
           .value_name = "N ...",
           .group = kGroup,
           .notice = "the engine chooses"},
          self.cudagraph_capture_batch_sizes);
    visit({.name = "prefix-cache-state-budget",
           .help = "recurrent states that the prefix cache may keep",
           .group = kGroup,
           .notice = "no recurrent model is in this version"},
          self.prefix_cache_state_budget);
    visit({.name = "prefix-cache-decode-state-interval",
           .help = "tokens between recurrent states that the prefix cache keeps",
           .group = kGroup,
           .notice = "no recurrent model is in this version"},
          self.prefix_cache_decode_state_interval);
    visit({.name = "language-model-only",
           .help = "leave out the vision part of a model",
           .group = kGroup,
           .notice = "only language models load in this version"},
          self.language_model_only);
    visit({.name = "disable-vision-encoder",
           .help = "older spelling of --language-model-only",
           .group = kGroup,
           .notice = "only language models load in this version"},
          self.disable_vision_encoder);
    visit({.name = "vision-max-batch-size",
           .help = "images that are encoded together",
           .group = kGroup,
           .notice = "no vision model is in this version"},
          self.vision_max_batch_size);
    visit({.name = "dllm-block-length",
           .help = "block length of diffusion language models",
           .group = kGroup,
           .notice = "no diffusion model is in this version"},
          self.dllm_block_length);
    visit({.name = "dllm-unmasking-strategy",
           .help = "how diffusion language models choose tokens to settle",
           .choices = {"low_confidence_dynamic", "low_confidence_static", "sequential"},
           .group = kGroup,
           .notice = "no diffusion model is in this version"},
          self.dllm_unmasking_strategy);
    visit({.name = "dllm-denoising-steps",
           .help = "steps in which a diffusion language model settles a block",
           .group = kGroup,
           .notice = "no diffusion model is in this version"},
          self.dllm_denoising_steps);
    visit({.name = "dllm-confidence-threshold",
           .help = "probability from which a diffusion language model settles a token",
           .group = kGroup,
           .notice = "no diffusion model is in this version"},
          self.dllm_confidence_threshold);
  }

  template <class Visitor, class Self>
  static void describe_refused(Visitor& visit, Self& self) {
    visit({.name = "logprobs-mode",
           .help = "what answers give as log-probabilities; raw_logprobs is the log-softmax of the logits",
           .choices = {"raw_logprobs", "raw_logits"},
           .group = kGroup,
           .refusal = "leave it at raw_logprobs"},
          self.logprobs_mode);
    visit({.name = "revision",
           .help = "revision of the model to download",
           .group = kGroup,
           .refusal = "nothing is downloaded; pass the path of the snapshot"},
          self.revision);
    visit({.name = "download-dir",
           .help = "folder for downloaded models",
           .value_name = "PATH",
           .group = kGroup,
           .refusal = "nothing is downloaded; set HF_HOME to use another cache"},
          self.download_dir);
    visit({.name = "adapters",
           .help = "LoRA adapters, each a path or NAME=PATH",
           .value_name = "ADAPTER ...",
           .group = kGroup,
           .refusal = "merge the adapter into the model"},
          self.adapters);
    visit({.name = "hf-overrides",
           .help = "JSON that replaces parts of the model's config.json",
           .value_name = "JSON",
           .group = kGroup,
           .refusal = "edit config.json"},
          self.hf_overrides);
    visit({.name = "speculative-algorithm",
           .help = "how a draft model guesses tokens ahead",
           .group = kGroup,
           .refusal = "leave it out; the answers are the same"},
          self.speculative_algorithm);
    visit({.name = "speculative-draft-model",
           .help = "model that guesses tokens ahead",
           .value_name = "PATH",
           .group = kGroup,
           .refusal = "leave it out; the answers are the same"},
          self.speculative_draft_model);
    visit({.name = "speculative-num-draft-tokens",
           .help = "tokens guessed ahead in a step",
           .group = kGroup,
           .refusal = "leave it out; the answers are the same"},
          self.speculative_num_draft_tokens);
    visit({.name = "dp",
           .help = "data-parallel replicas",
           .group = kGroup,
           .refusal = "start one server for each replica"},
          self.dp);
    visit({.name = "ep",
           .help = "devices that share the experts of a mixture model",
           .group = kGroup,
           .refusal = "leave it at 1"},
          self.ep);
    visit({.name = "cp",
           .help = "devices that share the KV cache of one sequence",
           .group = kGroup,
           .refusal = "leave it at 1"},
          self.cp);
    visit({.name = "nnodes",
           .help = "machines that share one model",
           .group = kGroup,
           .refusal = "one machine runs a model"},
          self.nnodes);
    visit({.name = "node-rank",
           .help = "number of this machine among --nnodes",
           .group = kGroup,
           .refusal = "one machine runs a model"},
          self.node_rank);
    visit({.name = "dist-init-addr",
           .help = "address where several machines meet",
           .value_name = "HOST:PORT",
           .group = kGroup,
           .refusal = "one machine runs a model"},
          self.dist_init_addr);
    visit({.name = "role",
           .help = "whether this server does prompts, answers or both",
           .choices = {"Hybrid", "Prefill", "Decode"},
           .group = kGroup,
           .refusal = "leave it at Hybrid"},
          self.role);
    visit({.name = "migration-backend",
           .help = "how KV moves from a prefill to a decode server",
           .choices = {"DLSlime", "Mooncake"},
           .group = kGroup,
           .refusal = "leave it out; one server does both"},
          self.migration_backend);
  }
};

// Of `serve api_server`.
struct ServerCompatOptions {
  bool disable_fastapi_docs = false, enable_metrics = false;
  std::optional<int64_t> max_log_len;
  std::vector<std::string> allowed_media_domains;

  std::string generation_config = "auto";
  bool enable_abort_handling = false, allow_terminate_by_client = false;
  bool enable_return_routed_experts = false;
  std::string qos_config_path, proxy_url, tool_call_parser, reasoning_parser;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Compatibility";
    visit({.name = "disable-fastapi-docs",
           .help = "serve no pages about the API",
           .group = kGroup,
           .notice = "there are none in this version"},
          self.disable_fastapi_docs);
    visit({.name = "enable-metrics",
           .help = "serve Prometheus metrics",
           .group = kGroup,
           .notice = "/metrics is on unless --disable-metrics is given"},
          self.enable_metrics);
    visit({.name = "max-log-len",
           .help = "longest part of a prompt that goes to the log",
           .group = kGroup,
           .notice = "prompts are not logged"},
          self.max_log_len);
    visit({.name = "allowed-media-domains",
           .help = "hosts that images may be fetched from",
           .value_name = "HOST ...",
           .group = kGroup,
           .notice = "nothing is fetched in this version"},
          self.allowed_media_domains);
    visit({.name = "generation-config",
           .help = "where sampling defaults come from; auto is the model's generation_config.json",
           .group = kGroup,
           .refusal = "leave it at auto and set the fields in requests"},
          self.generation_config);
    visit({.name = "enable-abort-handling",
           .help = "serve /abort_request",
           .group = kGroup,
           .refusal = "close the connection to abort a request"},
          self.enable_abort_handling);
    visit({.name = "allow-terminate-by-client",
           .help = "serve /terminate",
           .group = kGroup,
           .refusal = "send SIGTERM to the server"},
          self.allow_terminate_by_client);
    visit({.name = "enable-return-routed-experts",
           .help = "return the experts that each token used",
           .group = kGroup,
           .refusal = "no mixture model is in this version"},
          self.enable_return_routed_experts);
    visit({.name = "qos-config-path",
           .help = "JSON file with user groups and their shares",
           .value_name = "PATH",
           .group = kGroup,
           .refusal = "leave it out; requests are served in order of arrival"},
          self.qos_config_path);
    visit({.name = "proxy-url",
           .help = "distributor to register at",
           .value_name = "URL",
           .group = kGroup,
           .refusal = "put any HTTP load balancer before several servers"},
          self.proxy_url);
    visit({.name = "tool-call-parser",
           .help = "format of the tool calls in answers",
           .group = kGroup,
           .refusal = "leave it out; tool calls arrive as text"},
          self.tool_call_parser);
    visit({.name = "reasoning-parser",
           .help = "format of the reasoning in answers",
           .group = kGroup,
           .refusal = "leave it out; reasoning arrives as text"},
          self.reasoning_parser);
  }
};

// Of `list`.
struct ListCompatOptions {
  std::string engine;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Compatibility";
    visit({.name = "engine",
           .help = "engine to list the templates of",
           .choices = {"", "turbomind", "pytorch"},
           .group = kGroup,
           .notice = "there is one engine"},
          self.engine);
  }
};

// Notices for the accepted options that are set; the Status of the first refused one.
template <class Options>
Status check_compat_options(const Options& given, const Logger& logger) {
  const Options defaults;
  std::vector<const void*> default_fields;
  auto remember = [&](const OptionInfo&, const auto& field) { default_fields.push_back(&field); };
  Options::describe(remember, defaults);

  Status status;
  size_t index = 0;
  auto report = [&](const OptionInfo& info, const auto& field) {
    using Field = std::remove_cvref_t<decltype(field)>;
    if (field == *static_cast<const Field*>(default_fields[index++]) || !status.ok()) return;
    if (*info.refusal != '\0') {
      status = unsupported("--{} is not in this version: {}", info.name, info.refusal);
    } else if (*info.notice != '\0') {
      logger.warning("--{}: {}", info.name, info.notice);
    }
  };
  Options::describe(report, given);
  return status;
}

}  // namespace lmdeploy::cli
