#include "serve/api_error.h"

#include "serve/json_writer.h"

namespace lmdeploy {

namespace {

constexpr const char* kRetryAfterSeconds = "1";

const char* error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

ApiError to_api_error(const Status& status) {
  switch (status.code()) {
    case StatusCode::kInvalidArgument: return {400, status.message()};
    case StatusCode::kNotFound: return {404, status.message()};
    case StatusCode::kUnsupported: return {501, status.message()};
    case StatusCode::kResourceExhausted: return {429, status.message(), "", "queue_full"};
    case StatusCode::kUnavailable: return {503, status.message()};
    case StatusCode::kCancelled: return {499, status.message()};
    default: return {500, status.message()};
  }
}

std::string error_json(const ApiError& error) {
  std::string out;
  JsonWriter json(out);
  const auto optional = [&](const char* name, const std::string& value) {
    value.empty() ? json.key(name).null() : json.field(name, value);
  };
  json.open('{').key("error").open('{').field("message", error.message);
  json.field("type", error_type(error.status));
  optional("param", error.param);
  optional("code", error.code);
  json.close('}').field("object", "error").field("message", error.message);
  json.field("code", int64_t{error.status}).close('}');
  return out;
}

void send_error(const ResponseWriter& response, const ApiError& error) {
  if (error.status == 429 || error.status == 503) {
    response.add_header("Retry-After", kRetryAfterSeconds);
  }
  response.send_json(error.status, error_json(error));
}

ApiError not_in_this_version(std::string_view what) {
  return {501, fmt::format("{} is not in this version of lmdeploy", what), "", "not_implemented"};
}

}  // namespace lmdeploy
