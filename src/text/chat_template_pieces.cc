// A chat template made of pieces: LMDeploy's built-in ones and those of ChatTemplateConfig.
#include "text/chat_template_impl.h"

namespace lmdeploy {

namespace {

class PieceChatTemplate : public ChatTemplate::Impl {
 public:
  PieceChatTemplate(ChatPieces pieces, SpecialTokenText tokens)
      : Impl(pieces.name, std::move(tokens), pieces.stop_words), pieces_(std::move(pieces)) {}

  bool is_jinja() const override { return false; }

  Result<std::string> get_prompt(std::string_view text, bool sequence_start) const override {
    if (pieces_.capability != ChatPieces::Capability::kChat) return complete(text);
    std::string prompt;
    if (sequence_start) {
      prompt = pieces_.start;
      if (pieces_.meta_instruction) {
        prompt += pieces_.system + *pieces_.meta_instruction + pieces_.eosys;
      }
    } else {
      prompt = pieces_.separator;
    }
    if (pieces_.numbers_rounds) prompt += "[Round 1]\n\n";
    prompt += pieces_.user;
    prompt += text;
    prompt += pieces_.eoh + pieces_.assistant + pieces_.answer_start;
    drop_final_space(prompt);
    return prompt;
  }

  Result<std::string> render(const ChatRender& chat) const override {
    const bool tools = chat.tools && !chat.tools->empty();
    if (tools && pieces_.tools == ToolFormat::kNone) return no_tool_format("tools");
    if (pieces_.capability != ChatPieces::Capability::kChat) return render_completion(chat);
    std::string prompt = pieces_.start;
    int64_t round = 0;
    const size_t count = chat.messages.size();
    bool open = false;
    for (size_t i = 0; i < count; ++i) {
      ASSIGN_OR_RETURN(const std::string role, message_role(chat.messages[i], i));
      ASSIGN_OR_RETURN(std::string text, message_text(chat.messages[i].get_object(), i));
      if (i == 0 && role != "system" && (pieces_.meta_instruction || tools)) {
        ASSIGN_OR_RETURN(const std::string system,
                         system_text(chat, pieces_.meta_instruction.value_or("")));
        prompt += pieces_.system + system + pieces_.eosys;
      }
      if (i == 0 && role == "system") {
        ASSIGN_OR_RETURN(text, system_text(chat, text));
      }
      if (pieces_.numbers_rounds && role == "user") {
        prompt += fmt::format("[Round {}]\n\n", ++round);
      }
      open = i + 1 == count && role == "assistant" &&
             (chat.continue_final_message || !chat.add_generation_prompt);
      if (is_tool_result(role)) {
        append_result(prompt, chat.messages, i, text);
      } else {
        RETURN_IF_ERROR(append_calls(chat.messages[i].get_object(), text));
        RETURN_IF_ERROR(append_turn(prompt, role, text, open));
      }
    }
    if (chat.add_generation_prompt && !chat.continue_final_message) {
      prompt += pieces_.assistant + answer_start(chat.variables);
    }
    if (!open) drop_final_space(prompt);
    return prompt;
  }

 private:
  Status no_tool_format(std::string_view what) const {
    return unsupported(
        "the built-in chat template {} has no format for {}; use the model's own template, or "
        "--chat-template FILE.jinja",
        name(), what);
  }

  Result<std::string> system_text(const ChatRender& chat, const std::string& text) const {
    if (!chat.tools || chat.tools->empty()) return text;
    return system_with_tools(pieces_.tools, text, *chat.tools);
  }

  // Adds a message's tool calls to its text.
  Status append_calls(const json::object& message, std::string& text) const {
    const json::value* calls = find(message, "tool_calls");
    if (calls == nullptr || !calls->is_array() || calls->get_array().empty()) return {};
    if (pieces_.tools == ToolFormat::kNone) return no_tool_format("tool calls");
    ASSIGN_OR_RETURN(text, content_with_calls(pieces_.tools, text, calls->get_array()));
    return {};
  }

  bool is_tool_result(std::string_view role) const {
    if (!(pieces_.tool + pieces_.eotool).empty()) return false;
    return (role == "tool" && pieces_.tools != ToolFormat::kNone) ||
           (role == "ipython" && pieces_.tools == ToolFormat::kLlama31);
  }

  // Qwen's results that follow each other share a user turn.
  void append_result(std::string& prompt, const json::array& messages, size_t i,
                     const std::string& text) const {
    if (pieces_.tools == ToolFormat::kLlama31) {
      prompt += "<|start_header_id|>ipython<|end_header_id|>\n\n" + text + pieces_.eoh;
      return;
    }
    const auto is_result = [&](size_t at) {
      return at < messages.size() && messages[at].is_object() &&
             find(messages[at].get_object(), "role") != nullptr &&
             *find(messages[at].get_object(), "role") == "tool";
    };
    prompt += i > 0 && is_result(i - 1) ? "\n" : pieces_.user;
    prompt += "<tool_response>\n" + text + "\n</tool_response>";
    if (!is_result(i + 1)) prompt += pieces_.eoh;
  }

  // What ends an assistant's turn: a Llama 3.1 call waits for its result.
  std::string turn_end(const std::string& text) const {
    const auto holds = [&](std::string_view mark) { return text.find(mark) != std::string::npos; };
    if (pieces_.tools == ToolFormat::kLlama31 && (holds("<|python_tag|>") || holds("</function>"))) {
      return "<|eom_id|>";
    }
    return pieces_.eoa + pieces_.separator;
  }

  // One message; an open one is without its end, so that the model goes on writing it.
  Status append_turn(std::string& prompt, const std::string& role, const std::string& text,
                     bool open) const {
    if (role == "system") {
      prompt += pieces_.system + text + pieces_.eosys;
    } else if (role == "user") {
      prompt += pieces_.user + text + pieces_.eoh;
    } else if (role == "assistant") {
      prompt += pieces_.assistant + text;
      if (!open) prompt += turn_end(text);
    } else if (role == "tool" && !(pieces_.tool + pieces_.eotool).empty()) {
      prompt += pieces_.tool + text + pieces_.eotool;
    } else {
      return invalid_argument(
          "the chat template {} has no format for messages of role '{}'; it knows system, user and "
          "assistant{}",
          name(), role, pieces_.tools == ToolFormat::kNone ? "" : " and tool");
    }
    return {};
  }

  std::string answer_start(const json::object& variables) const {
    const json::value* thinking = find(variables, "enable_thinking");
    const bool off = thinking != nullptr && thinking->is_bool() && !thinking->get_bool();
    return off ? pieces_.no_thinking_start : pieces_.answer_start;
  }

  void drop_final_space(std::string& prompt) const {
    if (pieces_.drops_final_space && prompt.ends_with(' ')) prompt.pop_back();
  }

  Result<std::string> render_completion(const ChatRender& chat) const {
    std::string all;
    for (size_t i = 0; i < chat.messages.size(); ++i) {
      RETURN_IF_ERROR(message_role(chat.messages[i], i).status());
      ASSIGN_OR_RETURN(const std::string text, message_text(chat.messages[i].get_object(), i));
      all += text;
    }
    return complete(all);
  }

  // Code Llama's infilling wants the text around the gap; otherwise the text is the prompt.
  Result<std::string> complete(std::string_view text) const {
    if (pieces_.capability != ChatPieces::Capability::kInfilling) return std::string(text);
    constexpr std::string_view kGap = "<FILL>";
    const size_t gap = text.find(kGap);
    if (gap == std::string_view::npos || text.find(kGap, gap + 1) != std::string_view::npos) {
      return invalid_argument("capability 'infilling' needs exactly one <FILL> in the prompt");
    }
    return fmt::format("<PRE> {} <SUF>{} <MID>", text.substr(0, gap),
                       text.substr(gap + kGap.size()));
  }

  ChatPieces pieces_;
};

}  // namespace

std::shared_ptr<const ChatTemplate::Impl> make_piece_chat_template(ChatPieces pieces,
                                                                   SpecialTokenText tokens) {
  return std::make_shared<PieceChatTemplate>(std::move(pieces), std::move(tokens));
}

}  // namespace lmdeploy
