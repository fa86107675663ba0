// A chat template made of pieces: LMDeploy's built-in ones and those of ChatTemplateConfig.
#include "text/chat_template_impl.h"
#include "text/special_marks.h"

namespace lmdeploy {

namespace {

using Capability = ChatPieces::Capability;

bool says_no(const json::object& variables, std::string_view name) {
  const json::value* value = find(variables, name);
  return value != nullptr && value->is_bool() && !value->get_bool();
}

std::string string_member(const json::object& message, std::string_view name) {
  const json::value* value = find(message, name);
  if (value == nullptr || !value->is_string()) return {};
  return std::string(value->get_string().data(), value->get_string().size());
}

bool has_role(const json::array& messages, size_t at, std::string_view role) {
  return at < messages.size() && messages[at].is_object() &&
         string_member(messages[at].get_object(), "role") == role;
}

// One conversation on its way to a prompt.
class Rendering {
 public:
  Rendering(const ChatPieces& pieces, const ChatRender& chat)
      : pieces_(pieces), chat_(chat), thinks_(!says_no(chat.variables, "enable_thinking")) {}

  Result<std::string> prompt(std::string_view start) {
    text_ = start;
    if (has_tools() && pieces_.tools == ToolFormat::kNone) return no_tool_format("tools");
    if (!chat_.messages.empty() && !has_role(chat_.messages, 0, "system")) {
      RETURN_IF_ERROR(append_default_system());
    }
    for (size_t i = 0; i < chat_.messages.size(); ++i) RETURN_IF_ERROR(append_message(i));
    if (!waiting_system_.empty()) text_ += pieces_.user + waiting_system_ + pieces_.eoh;
    if (chat_.add_generation_prompt && !chat_.continue_final_message) text_ += answer();
    return std::move(text_);
  }

  // What begins the answer that is asked for.
  const std::string& answer() const {
    if (!thinks_ && !pieces_.answer_unthought.empty()) return pieces_.answer_unthought;
    return pieces_.answer.empty() ? pieces_.assistant : pieces_.answer;
  }

 private:
  bool has_tools() const { return chat_.tools && !chat_.tools->empty(); }

  Status no_tool_format(std::string_view what) const {
    return unsupported(
        "the built-in chat template {} has no format for {}; use the model's own template, or "
        "--chat-template FILE.jinja",
        pieces_.name, what);
  }

  Status append_default_system() {
    const bool wanted = pieces_.meta_instruction && (thinks_ || !pieces_.asks_for_thoughts);
    if (wanted) return append_system(*pieces_.meta_instruction, {});
    return has_tools() ? append_tools({}) : Status();
  }

  // The first system prompt, and the tools within or after it.
  Status append_system(const std::string& text, const std::string& name) {
    if (has_tools() && pieces_.tools != ToolFormat::kInternlm2) return append_tools(text);
    if (pieces_.system_in_user) {
      waiting_system_ += text;
      return {};
    }
    text_ += role_mark(pieces_.system, name) + text + pieces_.eosys;
    return has_tools() ? append_tools({}) : Status();
  }

  Status append_tools(const std::string& system) {
    ASSIGN_OR_RETURN(const std::string text, system_with_tools(pieces_.tools, system, *chat_.tools));
    text_ += role_mark(pieces_.system, names_speakers(pieces_.tools) ? "plugin" : "") + text + pieces_.eosys;
    return {};
  }

  // "<|im_start|>system name=<|plugin|>\n" where the template names who speaks.
  std::string role_mark(std::string_view mark, std::string_view name) const {
    const bool named = names_speakers(pieces_.tools) && (name == "plugin" || name == "interpreter");
    if (!named) return std::string(mark);
    while (mark.ends_with('\n')) mark.remove_suffix(1);
    return fmt::format("{} name=<|{}|>\n", mark, name);
  }

  Status append_message(size_t i) {
    ASSIGN_OR_RETURN(const std::string role, message_role(chat_.messages[i], i));
    const json::object& message = chat_.messages[i].get_object();
    ASSIGN_OR_RETURN(std::string text, message_text(message, i));
    const std::string name = string_member(message, "name");
    if (role == "system") return append_later_system(i, text, name);
    if (role == "user") {
      append_user(text, name);
      return {};
    }
    if (role == "assistant") return append_assistant(i, message, std::move(text));
    if (role == "tool" || role == result_role(pieces_.tools)) return append_result(i, role, text, name);
    return unknown_role(role);
  }

  Status append_later_system(size_t i, const std::string& text, const std::string& name) {
    if (i == 0) return append_system(text, name);
    if (pieces_.system_in_user) {
      waiting_system_ += (waiting_system_.empty() ? "" : "\n\n") + text;
    } else {
      text_ += role_mark(pieces_.system, name) + text + pieces_.eosys;
    }
    return {};
  }

  void append_user(const std::string& text, const std::string& name) {
    if (pieces_.numbers_rounds) text_ += fmt::format("[Round {}]\n\n", ++round_);
    text_ += role_mark(pieces_.user, name);
    if (!waiting_system_.empty()) text_ += waiting_system_ + "\n\n";
    waiting_system_.clear();
    text_ += text + pieces_.eoh;
  }

  // The last message is without its end when the model is to go on writing it.
  Status append_assistant(size_t i, const json::object& message, std::string text) {
    const json::value* calls = find(message, "tool_calls");
    if (pieces_.asks_for_thoughts) text = thoughts_of(i, message) + text;
    if (calls != nullptr && calls->is_array() && !calls->get_array().empty()) {
      if (pieces_.tools == ToolFormat::kNone) return no_tool_format("tool calls");
      ASSIGN_OR_RETURN(text, content_with_calls(pieces_.tools, text, calls->get_array()));
    }
    const bool open = i + 1 == chat_.messages.size() &&
                      (chat_.continue_final_message || !chat_.add_generation_prompt);
    text_ += pieces_.assistant + text;
    if (!open) text_ += turn_end(text);
    return {};
  }

  // Of an answer to the last question.
  std::string thoughts_of(size_t i, const json::object& message) const {
    const std::string thoughts = string_member(message, "reasoning_content");
    for (size_t later = i + 1; later < chat_.messages.size(); ++later) {
      if (has_role(chat_.messages, later, "user")) return {};
    }
    return thoughts.empty() ? "" : "<think>\n" + thoughts + "\n</think>\n";
  }

  // What ends an assistant's turn: a Llama 3.1 call waits for its result.
  std::string turn_end(const std::string& text) const {
    const auto holds = [&](std::string_view mark) { return text.find(mark) != std::string::npos; };
    if (pieces_.tools == ToolFormat::kLlama31 && (holds("<|python_tag|>") || holds("</function>"))) {
      return "<|eom_id|>";
    }
    return pieces_.eoa + pieces_.separator;
  }

  Status append_result(size_t i, const std::string& role, const std::string& text,
                       const std::string& name) {
    if (!pieces_.tool.empty() || !pieces_.eotool.empty()) {
      const bool of_tool = role == "tool" && name != "interpreter";
      text_ += role_mark(pieces_.tool, of_tool ? "plugin" : name) + text + pieces_.eotool;
      return {};
    }
    if (pieces_.tools != ToolFormat::kQwen) return unknown_role(role);
    // Results that follow each other share a user turn.
    text_ += i > 0 && has_role(chat_.messages, i - 1, "tool") ? "\n" : pieces_.user;
    text_ += "<tool_response>\n" + text + "\n</tool_response>";
    if (!has_role(chat_.messages, i + 1, "tool")) text_ += pieces_.eoh;
    return {};
  }

  Status unknown_role(const std::string& role) const {
    return invalid_argument(
        "the chat template {} has no format for messages of role '{}'; it knows system, user and "
        "assistant{}",
        pieces_.name, role, pieces_.tools == ToolFormat::kNone ? "" : " and tool");
  }

  const ChatPieces& pieces_;
  const ChatRender& chat_;
  const bool thinks_;
  std::string text_;
  std::string waiting_system_;  // for the next user's turn
  int64_t round_ = 0;
};

// Code Llama's infilling wants the text around the gap; otherwise the text is the prompt.
Result<std::string> complete(Capability capability, std::string_view text) {
  if (capability != Capability::kInfilling) return std::string(text);
  constexpr std::string_view kGap = "<FILL>";
  const size_t gap = text.find(kGap);
  if (gap == std::string_view::npos || text.find(kGap, gap + 1) != std::string_view::npos) {
    return invalid_argument("capability 'infilling' needs exactly one <FILL> in the prompt");
  }
  return fmt::format("<PRE> {} <SUF>{} <MID>", text.substr(0, gap), text.substr(gap + kGap.size()));
}

class PieceChatTemplate : public ChatTemplate::Impl {
 public:
  PieceChatTemplate(ChatPieces pieces, SpecialTokenText tokens)
      : Impl(pieces.name, std::move(tokens), pieces.stop_words), pieces_(std::move(pieces)) {}

  bool is_jinja() const override { return false; }

  std::vector<std::string> special_marks() const override { return lmdeploy::special_marks(pieces_); }

  Result<std::string> get_prompt(std::string_view text, bool sequence_start) const override {
    if (pieces_.capability != Capability::kChat) return complete(pieces_.capability, text);
    ChatRender chat;
    chat.messages.push_back(json::object{{"role", "user"}, {"content", text}});
    if (sequence_start) return Rendering(pieces_, chat).prompt(start());
    ChatPieces later = pieces_;
    later.meta_instruction.reset();
    return Rendering(later, chat).prompt(pieces_.separator);
  }

  Result<std::string> render(const ChatRender& chat) const override {
    if (pieces_.capability == Capability::kChat) return Rendering(pieces_, chat).prompt(start());
    std::string all;
    for (size_t i = 0; i < chat.messages.size(); ++i) {
      RETURN_IF_ERROR(message_role(chat.messages[i], i).status());
      ASSIGN_OR_RETURN(const std::string text, message_text(chat.messages[i].get_object(), i));
      all += text;
    }
    return complete(pieces_.capability, all);
  }

 private:
  // Nothing where the tokenizer puts it before the text by itself.
  std::string_view start() const {
    return pieces_.start == tokens().prefix ? std::string_view() : std::string_view(pieces_.start);
  }

  ChatPieces pieces_;
};

}  // namespace

std::shared_ptr<const ChatTemplate::Impl> make_piece_chat_template(ChatPieces pieces,
                                                                   SpecialTokenText tokens) {
  return std::make_shared<PieceChatTemplate>(std::move(pieces), std::move(tokens));
}

}  // namespace lmdeploy
