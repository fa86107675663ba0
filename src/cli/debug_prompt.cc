// lmdeploy debug prompt: what a model is really given for a conversation.

#include <cstdio>
#include <string>
#include <utility>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/model_path.h"
#include "cli/debug.h"
#include "cli/program.h"
#include "engine/model_text.h"

namespace lmdeploy::cli {

namespace {

struct DebugPromptOptions {
  std::string model;
  std::string messages;
  std::string chat_template;
  bool json = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "messages",
           .help = "JSON file: {\"messages\": [...], \"tools\": [...], \"add_generation_prompt\": "
                   "true, ...}; "
                   "other keys reach the template as variables",
           .value_name = "F.json"},
          self.messages);
    visit(
        {.name = "chat-template",
         .help =
             "a built-in name, a .json or a .jinja file, or JSON text; empty takes the model's own",
         .value_name = "T"},
        self.chat_template);
    visit({.name = "json", .help = "print one JSON object"}, self.json);
  }
};

Result<ChatRender> parse_conversation(const json::value& document, const std::string& path) {
  if (!document.is_object()) return invalid_argument("{} is no JSON object", path);
  ChatRender chat;
  bool has_messages = false;
  for (const auto& [key, value] : document.as_object()) {
    if (key == "messages") {
      if (!value.is_array()) return invalid_argument("{}: 'messages' is no list", path);
      chat.messages = value.as_array();
      has_messages = true;
    } else if (key == "tools" && !value.is_null()) {
      if (!value.is_array()) return invalid_argument("{}: 'tools' is no list", path);
      chat.tools = value.as_array();
    } else if (key == "add_generation_prompt") {
      if (!value.is_bool())
        return invalid_argument("{}: 'add_generation_prompt' is neither true nor false", path);
      chat.add_generation_prompt = value.as_bool();
    } else if (key == "continue_final_message") {
      if (!value.is_bool())
        return invalid_argument("{}: 'continue_final_message' is neither true nor false", path);
      chat.continue_final_message = value.as_bool();
    } else if (key != "tools") {
      chat.variables[key] = value;
    }
  }
  if (!has_messages) return invalid_argument("{} has no 'messages'", path);
  return chat;
}

struct ShownPrompt {
  std::string text;
  std::vector<int32_t> ids;
  std::string template_reason, template_warning;
};

Result<ShownPrompt> make_prompt(const DebugPromptOptions& options) {
  if (options.messages.empty()) return invalid_argument("--messages is missing; give a JSON file");
  ASSIGN_OR_RETURN(const json::value document, read_json_file(options.messages));
  ASSIGN_OR_RETURN(ChatRender chat, parse_conversation(document, options.messages));
  ASSIGN_OR_RETURN(const std::string path, resolve_model_path(options.model));
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                   Checkpoint::open(path, CheckpointParts::kConfigOnly));
  ASSIGN_OR_RETURN(const ModelText text, load_model_text(*checkpoint, options.chat_template));
  ASSIGN_OR_RETURN(ChatPrompt prompt, make_chat_prompt(*text.chat_template, std::move(chat)));
  std::vector<int32_t> ids =
      text.tokenizer->encode(prompt.text, {.add_special_tokens = prompt.add_special_tokens});
  return ShownPrompt{std::move(prompt.text), std::move(ids), text.chat_template_reason,
                     text.chat_template_warning};
}

int debug_prompt(const DebugPromptOptions& options) {
  const Result<ShownPrompt> prompt = make_prompt(options);
  if (!prompt.ok()) return report_failure(prompt.status());
  if (!prompt->template_warning.empty()) {
    std::fprintf(stderr, "%s\n", prompt->template_warning.c_str());
  }
  std::string ids;
  for (int32_t id : prompt->ids) ids += (ids.empty() ? "" : ", ") + std::to_string(id);
  if (options.json) {
    std::string out = "{\"prompt\": ";
    append_json_string(out, prompt->text);
    std::printf("%s, \"ids\": [%s]}\n", out.c_str(), ids.c_str());
  } else {
    std::printf("template: %s\n%zu tokens: %s\n-----\n%s\n-----\n", prompt->template_reason.c_str(),
                prompt->ids.size(), ids.c_str(), prompt->text.c_str());
  }
  return kExitOk;
}

}  // namespace

void add_debug_prompt(Command& debug) {
  Command command =
      debug.subcommand("prompt", "Render a conversation with the model's chat template.");
  auto options = std::make_shared<DebugPromptOptions>();
  command.positional("model", kModelHelp, options->model);
  command.options(*options);
  command.run([options] { return debug_prompt(*options); });
}

}  // namespace lmdeploy::cli
