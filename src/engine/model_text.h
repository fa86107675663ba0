// ModelText: a checkpoint's text side: tokenizer, chat template, and the ids that end a turn. Needs
// no weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "engine/sampling_defaults.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lmdeploy {

struct ModelText {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;
  std::string chat_template_reason;  // which template and why, for the log
  std::vector<int32_t> end_ids;      // generation_config.json, tokenizer and template joined
  SamplingDefaults sampling_defaults;
};

// `chat_template`: what --chat-template said; empty takes the model's own.
Result<ModelText> load_model_text(const Checkpoint& checkpoint, const std::string& chat_template);

// A tokenizer by itself: a checkpoint (directory or .gguf) or a tokenizer.json.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);

}  // namespace lmdeploy
