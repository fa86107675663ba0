// Options of LMDeploy's commands that configure nothing in this engine (accepted, with one notice) or
// whose effect this version does not have (refused, saying what to do instead). DESIGN 7.
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
  bool trust_remote_code = false;
  bool eager_mode = false;
  bool enable_microbatch = false;
  std::string communicator = "nccl";
  std::string revision, download_dir;
  std::string logprobs_mode;
  int async = 1;
  bool language_model_only = false;
  int vision_max_batch_size = 1;
  bool empty_init = false;
  std::vector<std::string> adapters;
  std::string hf_overrides;
  std::string speculative_algorithm, speculative_draft_model;
  int speculative_num_draft_tokens = 1;
  int dp = 1, ep = 1, cp = 1, nnodes = 1;
  std::string role = "Hybrid";

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Compatibility";
    visit({.name = "backend", .help = "there is one engine; both names configure it",
           .choices = {"turbomind", "pytorch"}, .group = kGroup}, self.backend);
    visit({.name = "trust-remote-code", .help = "", .group = kGroup,
           .notice = "no code of a checkpoint is ever run"}, self.trust_remote_code);
    visit({.name = "eager-mode", .help = "", .group = kGroup, .notice = "configures nothing on the CPU"}, self.eager_mode);
    visit({.name = "enable-microbatch", .help = "", .group = kGroup, .notice = "configures nothing here"},
          self.enable_microbatch);
    visit({.name = "communicator", .help = "", .choices = {"nccl", "native", "cuda-ipc"}, .group = kGroup,
           .notice = "chosen by the engine"}, self.communicator);
    visit({.name = "revision", .help = "", .group = kGroup, .refusal = "nothing is downloaded; pass the path of the snapshot"},
          self.revision);
    visit({.name = "download-dir", .help = "", .group = kGroup, .refusal = "nothing is downloaded; set HF_HOME to use another cache"},
          self.download_dir);
    visit({.name = "logprobs-mode", .help = "", .choices = {"", "raw_logprobs", "raw_logits"}, .group = kGroup,
           .notice = "logprobs are the log-softmax of the raw logits"}, self.logprobs_mode);
    visit({.name = "async", .help = "", .group = kGroup, .notice = "chosen by the engine"}, self.async);
    visit({.name = "language-model-only", .help = "", .group = kGroup, .notice = "only language models load in this version"},
          self.language_model_only);
    visit({.name = "vision-max-batch-size", .help = "", .group = kGroup, .notice = "there are no vision models in this version"},
          self.vision_max_batch_size);
    visit({.name = "empty-init", .help = "", .group = kGroup, .notice = "configures nothing here"}, self.empty_init);
    visit({.name = "adapters", .help = "", .group = kGroup, .refusal = "merge the LoRA adapter into the model"}, self.adapters);
    visit({.name = "hf-overrides", .help = "", .group = kGroup, .refusal = "edit config.json"}, self.hf_overrides);
    visit({.name = "speculative-algorithm", .help = "", .group = kGroup, .refusal = "leave it out; answers are the same"},
          self.speculative_algorithm);
    visit({.name = "speculative-draft-model", .help = "", .group = kGroup, .refusal = "leave it out; answers are the same"},
          self.speculative_draft_model);
    visit({.name = "speculative-num-draft-tokens", .help = "", .group = kGroup, .refusal = "leave it out; answers are the same"},
          self.speculative_num_draft_tokens);
    visit({.name = "dp", .help = "", .group = kGroup, .refusal = "start one server per replica"}, self.dp);
    visit({.name = "ep", .help = "", .group = kGroup, .refusal = "leave it at 1"}, self.ep);
    visit({.name = "cp", .help = "", .group = kGroup, .refusal = "leave it at 1"}, self.cp);
    visit({.name = "nnodes", .help = "", .group = kGroup, .refusal = "one machine runs a model"}, self.nnodes);
    visit({.name = "role", .help = "", .choices = {"Hybrid", "Prefill", "Decode"}, .group = kGroup,
           .refusal = "leave it at Hybrid"}, self.role);
  }
};

// Of `serve api_server`.
struct ServerCompatOptions {
  bool disable_fastapi_docs = false;
  bool enable_metrics = false;
  bool enable_abort_handling = false;
  bool allow_terminate_by_client = false;
  std::string qos_config_path, proxy_url, tool_call_parser, reasoning_parser;
  std::vector<std::string> allowed_media_domains;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Compatibility";
    visit({.name = "disable-fastapi-docs", .help = "", .group = kGroup, .notice = "there are no docs pages in this version"},
          self.disable_fastapi_docs);
    visit({.name = "enable-metrics", .help = "", .group = kGroup, .notice = "metrics are always on at /metrics"},
          self.enable_metrics);
    visit({.name = "enable-abort-handling", .help = "", .group = kGroup, .refusal = "close the connection to abort a request"},
          self.enable_abort_handling);
    visit({.name = "allow-terminate-by-client", .help = "", .group = kGroup, .refusal = "send SIGTERM to the server"},
          self.allow_terminate_by_client);
    visit({.name = "qos-config-path", .help = "", .group = kGroup, .refusal = "leave it out"}, self.qos_config_path);
    visit({.name = "proxy-url", .help = "", .group = kGroup, .refusal = "leave it out"}, self.proxy_url);
    visit({.name = "tool-call-parser", .help = "", .group = kGroup, .refusal = "leave it out; tool calls arrive as text"},
          self.tool_call_parser);
    visit({.name = "reasoning-parser", .help = "", .group = kGroup, .refusal = "leave it out; reasoning arrives as text"},
          self.reasoning_parser);
    visit({.name = "allowed-media-domains", .help = "", .group = kGroup, .notice = "no media are fetched in this version"},
          self.allowed_media_domains);
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
