// The two kinds of chat templates behind ChatTemplate.
#pragma once

#include "text/builtin_templates.h"
#include "text/chat_template.h"

namespace lmdeploy {

class ChatTemplate::Impl {
 public:
  Impl(std::string name, SpecialTokenText tokens, std::vector<std::string> stop_words)
      : name_(std::move(name)), tokens_(std::move(tokens)), stop_words_(std::move(stop_words)) {}
  virtual ~Impl() = default;

  virtual Result<std::string> render(const ChatRender& chat) const = 0;
  virtual Result<std::string> get_prompt(std::string_view text, bool sequence_start) const = 0;
  virtual bool is_jinja() const = 0;
  virtual std::vector<std::string> special_marks() const { return {}; }

  const std::string& name() const { return name_; }
  const SpecialTokenText& tokens() const { return tokens_; }
  const std::vector<std::string>& stop_words() const { return stop_words_; }

 private:
  std::string name_;
  SpecialTokenText tokens_;
  std::vector<std::string> stop_words_;
};

Result<std::shared_ptr<const ChatTemplate::Impl>> make_jinja_chat_template(
    std::string_view source, std::string name, SpecialTokenText tokens);
std::shared_ptr<const ChatTemplate::Impl> make_piece_chat_template(ChatPieces pieces,
                                                                   SpecialTokenText tokens);

// The role of a message; a message that is no object, or has none, is kInvalidArgument.
Result<std::string> message_role(const json::value& message, size_t index);
// Its content as text: a string, the joined text parts of a list, or "" when null or absent. A part
// that is no text is kInvalidArgument.
Result<std::string> message_text(const json::object& message, size_t index);

}  // namespace lmdeploy
