// ReplyWriter: the frame of an answer of chat completions and completions: head, chunks, endings.
#pragma once

#include <string>
#include <string_view>

#include "http/response.h"
#include "http/sse.h"
#include "serve/openai/reply_parts.h"
#include "serve/openai/sampling_fields.h"

namespace lmdeploy {

class ReplyWriter {
 public:
  // `id`: "chatcmpl-..."; `object`: "chat.completion", ...
  ReplyWriter(ResponseWriter response, ReplyOptions options, std::string id, std::string_view object);

  const ReplyOptions& options() const { return options_; }

  // The whole answer: write_choice(json, index, choice) for each choice; or the error of the first
  // that failed.
  template <class WriteChoice>
  void send_whole(const ReplyState& state, WriteChoice write_choice) const {
    if (const auto error = failure_of(state.choices())) return send_error(response_, *error);
    std::string body;
    JsonWriter json(body);
    open(json);
    for (size_t i = 0; i < state.choices().size(); ++i) write_choice(json, i, state.choices()[i]);
    json.close(']').key("usage");
    write_usage(json, state.usage());
    json.close('}');
    response_.send_json(200, std::move(body));
  }

  void start_stream() const;
  // A chunk of one choice, that write_choice(json) writes.
  template <class WriteChoice>
  void write_chunk(WriteChoice write_choice) const {
    std::string body;
    JsonWriter json(body);
    open(json);
    write_choice(json);
    json.close(']');
    if (options_.include_usage) json.key("usage").null();
    json.close('}');
    write_event(body);
  }
  // The error of the first choice that failed, or the usage where it is asked for; then [DONE].
  void end_stream(const ReplyState& state) const;

 private:
  // Up to `"choices": [`.
  void open(JsonWriter& json) const;
  void write_event(std::string_view data) const;

  const ResponseWriter response_;
  const ReplyOptions options_;
  const std::string id_;
  const std::string_view object_;
  const int64_t created_;
};

}  // namespace lmdeploy
