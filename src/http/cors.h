// CORS: which browser origins may call the server, as LMDeploy's four flags say it.
#pragma once

#include <string>
#include <vector>

#include "http/request.h"

namespace lmdeploy {

struct CorsOptions {
  std::vector<std::string> allow_origins = {"*"};
  std::vector<std::string> allow_methods = {"*"};
  std::vector<std::string> allow_headers = {"*"};
  bool allow_credentials = false;
};

// True for a preflight: OPTIONS with Origin and Access-Control-Request-Method.
bool is_cors_preflight(const Request& request);

// Headers that the answer to `request` carries: none without an Origin header or when the origin is
// not allowed. With credentials the origin is echoed, since browsers refuse "*" then.
HttpHeaders cors_headers(const CorsOptions& options, const Request& request);

}  // namespace lmdeploy
