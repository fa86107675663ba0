#include "serve/serve_context.h"

#include <fmt/format.h>

#include <algorithm>

namespace lmdeploy {

namespace {

constexpr size_t kMostReportedFields = 256;
constexpr size_t kMostFieldName = 64;
constexpr size_t kMostDepth = 64;
// JSON values take far more memory than their shortest spelling: bound their number too.
constexpr ptrdiff_t kMostValues = 4 << 20;

Result<json::value> parse_body(const std::string& body) {
  const auto values = std::count_if(body.begin(), body.end(),
                                    [](char c) { return c == ',' || c == '[' || c == '{'; });
  if (values > kMostValues) {
    return invalid_argument("the request body has more than {} JSON values", kMostValues);
  }
  return parse_json(body, "the request body", {.max_depth = kMostDepth, .max_bytes = body.size()});
}

bool brings_instructions(const json::array& messages) {
  const json::object* first = messages.empty() ? nullptr : messages.front().if_object();
  const json::value* role = first == nullptr ? nullptr : find(*first, "role");
  return role != nullptr && (*role == json::value("system") || *role == json::value("developer"));
}

bool says_json(const Request& request) {
  const std::string* type = request.headers.find("Content-Type");
  return type != nullptr &&
         equal_ignoring_case(std::string_view(*type).substr(0, 16), "application/json");
}

}  // namespace

void ServeContext::log_unknown_fields(const FieldReader& fields, std::string_view path) {
  for (const std::string& name : fields.unknown()) {
    const std::string shown = name.substr(0, kMostFieldName);
    std::lock_guard lock(mutex_);
    if (reported_.size() >= kMostReportedFields || !reported_.insert(shown).second) continue;
    logger.warning("{} has an unknown field '{}', which is ignored (said once)", path, shown);
  }
}

Result<std::vector<int32_t>> ServeContext::encode_chat(ChatInput input) const {
  if (!settings.meta_instruction.empty() && !brings_instructions(input.messages)) {
    json::object system{{"role", "system"}, {"content", settings.meta_instruction}};
    input.messages.insert(input.messages.begin(), json::value(std::move(system)));
  }
  return host.encode_chat(input);
}

namespace {

void answer(const JsonEndpoint& endpoint, const Request& request, const ResponseWriter& response) {
  auto body = parse_body(request.body);
  if (!body.ok()) return send_error(response, to_api_error(body.status()));
  if (!body->is_object()) return send_error(response, {400, "the request body must be a JSON object"});
  endpoint(request, body->get_object(), response);
}

}  // namespace

Handler json_handler(ServeContext& context, JsonEndpoint endpoint) {
  return [&context, endpoint = std::make_shared<JsonEndpoint>(std::move(endpoint))](
             Request request, ResponseWriter response) {
    if (!says_json(request)) {
      return send_error(response, {415, "send the body as 'Content-Type: application/json'"});
    }
    auto held = std::make_shared<Request>(std::move(request));
    context.host.post_text_task([endpoint, held, response, &context] {
      if (response.closed()) return;
      // Out of memory, or a library's surprise: this request fails, the server goes on.
      try {
        answer(*endpoint, *held, response);
      } catch (const std::exception& error) {
        context.logger.error("{} failed: {}", held->path(), error.what());
        send_error(response, {500, "the server failed to read this request"});
      }
    });
  };
}

bool check_model(const ServeContext& context, const std::string& name,
                 const ResponseWriter& response) {
  if (name == context.model_name) return true;
  send_error(response, {404, fmt::format("The model `{}` does not exist.", name), "model",
                        "model_not_found"});
  return false;
}

}  // namespace lmdeploy
