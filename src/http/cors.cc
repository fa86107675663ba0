#include "http/cors.h"

#include <algorithm>

namespace lmdeploy {

namespace {

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out.append(out.empty() ? "" : ", ").append(item);
  return out;
}

void add_preflight_headers(const CorsOptions& options, const Request& request, HttpHeaders& out) {
  out.push_back(
      {"Access-Control-Allow-Methods", contains(options.allow_methods, "*")
                                           ? "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
                                           : joined(options.allow_methods)});
  const std::string* asked = request.headers.find("Access-Control-Request-Headers");
  if (contains(options.allow_headers, "*")) {
    if (asked != nullptr) out.push_back({"Access-Control-Allow-Headers", *asked});
  } else {
    out.push_back({"Access-Control-Allow-Headers", joined(options.allow_headers)});
  }
  out.push_back({"Access-Control-Max-Age", "600"});
}

}  // namespace

bool is_cors_preflight(const Request& request) {
  return request.method == "OPTIONS" && request.headers.find("Origin") != nullptr &&
         request.headers.find("Access-Control-Request-Method") != nullptr;
}

HttpHeaders cors_headers(const CorsOptions& options, const Request& request) {
  HttpHeaders out;
  const std::string* origin = request.headers.find("Origin");
  if (origin == nullptr) return out;
  const bool any = contains(options.allow_origins, "*");
  if (!any && !contains(options.allow_origins, *origin)) return out;
  const bool echo = !any || options.allow_credentials;
  out.push_back({"Access-Control-Allow-Origin", echo ? *origin : "*"});
  if (echo) out.push_back({"Vary", "Origin"});
  if (options.allow_credentials) out.push_back({"Access-Control-Allow-Credentials", "true"});
  if (is_cors_preflight(request)) add_preflight_headers(options, request, out);
  return out;
}

}  // namespace lmdeploy
