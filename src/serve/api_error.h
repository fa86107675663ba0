// ApiError: what a client is told when a request fails, in the shape of OpenAI's API with the flat
// fields that LMDeploy's clients read.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "http/response.h"

namespace lmdeploy {

struct ApiError {
  int status = 400;  // HTTP
  std::string message;
  std::string param = {};  // the request field at fault; empty: null
  std::string code = {};   // "model_not_found", ...; empty: null
};

// Status and code by the Status's kind.
ApiError to_api_error(const Status& status);

// {"error": {"message", "type", "param", "code"}, "object": "error", "message", "code": status}
std::string error_json(const ApiError& error);

// Answers with `error`; 429 and 503 carry Retry-After.
void send_error(const ResponseWriter& response, const ApiError& error);

// What has this name in the documents but is not in this version: 501.
ApiError not_in_this_version(std::string_view what);

}  // namespace lmdeploy
