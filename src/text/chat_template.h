// ChatTemplate: a conversation -> the prompt text that a model was trained on. Either the model's own
// Jinja template or one made of pieces (LMDeploy's built-in ones and ChatTemplateConfig files).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace lmdeploy {

struct ChatRender {
  // Objects with "role" and "content"; content is a string or a list of parts. Parts of type "text"
  // are joined by newlines for a template that knows no parts.
  json::array messages;
  std::optional<json::array> tools;
  bool add_generation_prompt = true;
  // The last message is the beginning of the answer: its turn stays open. Overrides
  // add_generation_prompt.
  bool continue_final_message = false;
  // OpenAI clients send the arguments of tool calls as JSON text; templates expect the object.
  bool parse_tool_arguments = false;
  // More variables for the template (enable_thinking, documents, ...); they win over bos_token and
  // eos_token. Reserved ones (below) and the names of built-in functions are refused.
  json::object variables;
};

// Variables that a caller cannot set: those that the conversation sets, and the other arguments of
// transformers' apply_chat_template.
bool is_reserved_template_variable(std::string_view name);

// Special tokens as text; empty when the model has none. `prefix` is what the tokenizer puts before a
// text by itself (ChatGLM's "[gMASK]sop").
struct SpecialTokenText {
  std::string bos, eos, prefix;
};

// Immutable and thread-safe; copies share their state.
class ChatTemplate {
 public:
  // `name` is for messages and name().
  static Result<ChatTemplate> from_jinja(std::string_view source, std::string name,
                                         SpecialTokenText tokens);
  // LMDeploy's ChatTemplateConfig as JSON: model_name and the pieces. A built-in model_name supplies
  // the pieces that are absent or null; any other is a template of just these pieces.
  static Result<ChatTemplate> from_json(const json::object& config, SpecialTokenText tokens);
  static Result<ChatTemplate> from_json_file(const std::string& path, SpecialTokenText tokens);
  // An unknown name gives kNotFound with the nearest one.
  static Result<ChatTemplate> builtin(std::string_view name, SpecialTokenText tokens);
  // --chat-template: NAME, FILE.json, FILE.jinja, or JSON text.
  static Result<ChatTemplate> load(const std::string& spec, SpecialTokenText tokens);

  // A refusal by the template itself (raise_exception) is kInvalidArgument "the chat template
  // refused the conversation: ...", as is a conversation that it cannot format.
  Result<std::string> render(const ChatRender& chat) const;

  // One user turn of an interactive session. Only the first turn (`sequence_start`) carries the
  // system prompt. With capability "completion" the text itself.
  Result<std::string> get_prompt(std::string_view text, bool sequence_start) const;

  // Of the template alone; the tokenizer's own end tokens are not among them.
  const std::vector<std::string>& stop_words() const;
  const std::string& name() const;
  bool is_jinja() const;
  // Whether the tokenizer should add its BOS to `prompt`: a Jinja template writes every special
  // token itself; one of pieces does not, unless the prompt begins with it already.
  bool wants_bos(std::string_view prompt) const;
  // Strings of a template of pieces that look like special tokens (special_marks.h); of a Jinja template
  // none.
  std::vector<std::string> special_marks() const;

  class Impl;

 private:
  explicit ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lmdeploy
