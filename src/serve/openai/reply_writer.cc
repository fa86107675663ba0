#include "serve/openai/reply_writer.h"

#include "base/clock.h"

namespace lmdeploy {

ReplyWriter::ReplyWriter(ResponseWriter response, ReplyOptions options, std::string id,
                         std::string_view object)
    : response_(std::move(response)),
      options_(std::move(options)),
      id_(std::move(id)),
      object_(object),
      created_(unix_seconds()) {}

void ReplyWriter::open(JsonWriter& json) const {
  json.open('{').field("id", id_).field("object", object_).field("created", created_);
  json.field("model", options_.model).key("choices").open('[');
}

void ReplyWriter::write_event(std::string_view data) const {
  std::string event;
  append_sse_event(event, data);
  response_.write(event);
}

void ReplyWriter::start_stream() const {
  response_.add_header("Cache-Control", "no-cache");
  response_.start_stream(200, kSseContentType);
}

void ReplyWriter::end_stream(const ReplyState& state) const {
  if (const auto error = failure_of(state.choices())) {
    write_event(error_json(*error));
  } else if (options_.include_usage) {
    std::string body;
    JsonWriter json(body);
    open(json);
    json.close(']').key("usage");
    write_usage(json, state.usage());
    json.close('}');
    write_event(body);
  }
  response_.write(kSseDone);
  response_.finish();
}

}  // namespace lmdeploy
