// ModelText: a checkpoint's text side: tokenizer, chat template, and the ids that end a turn. Needs
// no weights.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "engine/sampling_defaults.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lmdeploy {

struct ModelText {
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // always set by load_model_text
  std::string chat_template_reason;  // which template and why, for the log
  // For the log; empty when there is none. chat_template_warning: it writes tokens that the model lacks.
  std::string tokenizer_warning, chat_template_warning;
  std::vector<int32_t> end_ids;      // generation_config.json, tokenizer and template joined
  SamplingDefaults sampling_defaults;
};

// `chat_template`: what --chat-template said; empty takes the model's own. With `bytes_will_do`
// (random weights need a config.json alone) a directory without a vocabulary gets one of the 256 bytes and
// a word for each other id.
Result<ModelText> load_model_text(const Checkpoint& checkpoint, const std::string& chat_template,
                                  bool bytes_will_do = false);

// The --chat-template that does what LMDeploy's --cap says. "chat": `spec` itself; "completion" and
// "python": the text is the prompt; "infilling": Code Llama's marks around the one <FILL> in it. A `spec`
// that is a built-in name, a .json file or JSON text keeps its stop words; a Jinja template has no part
// in such a prompt. One that cannot be read comes back as it is: loading it says why.
std::string template_with_capability(const std::string& spec, const std::string& capability);

// What the model is really given for a conversation.
struct ChatPrompt {
  std::string text;
  bool add_special_tokens = false;  // when it is tokenized
};
// Arguments of tool calls that are JSON text become objects.
Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template, ChatRender chat);

// A tokenizer by itself: a checkpoint (directory or .gguf), tokenizer.json, tokenizer.model or *.tiktoken.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& path);

}  // namespace lmdeploy
