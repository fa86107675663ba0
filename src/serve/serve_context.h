// ServeContext: what every endpoint has, and the steps that all of them share.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "base/log.h"
#include "http/auth.h"
#include "http/router.h"
#include "serve/field_reader.h"
#include "serve/model_host.h"
#include "serve/server_options.h"

namespace lmdeploy {

struct ServeContext {
  ServeContext(ModelHost& model_host, ServerSettings server_settings, std::string served_name,
               Logger server_logger)
      : host(model_host),
        settings(std::move(server_settings)),
        model_name(std::move(served_name)),
        logger(std::move(server_logger)),
        keys(settings.api_keys) {}

  ModelHost& host;
  const ServerSettings settings;
  const std::string model_name;  // the id that /v1/models lists
  const Logger logger;
  const ApiKeys keys;
  std::atomic<int> generations{0};  // HTTP calls that generate, for --max-concurrent-requests

  // The prompt of a conversation; one that brings no system message gets --meta-instruction.
  Result<std::vector<int32_t>> encode_chat(ChatInput input) const;
  // Says once for each field name (of the first few hundred) that it is not known.
  void log_unknown_fields(const FieldReader& fields, std::string_view path);

 private:
  std::mutex mutex_;
  std::set<std::string> reported_;
};

// Reads a JSON object body on a text thread and calls the endpoint there; a body that is not one is
// answered with an error.
using JsonEndpoint = std::function<void(const Request& request, const json::object& body,
                                        const ResponseWriter& response)>;
Handler json_handler(ServeContext& context, JsonEndpoint endpoint);

// 404 unless `name` is the served model's. True: go on.
bool check_model(const ServeContext& context, const std::string& name,
                 const ResponseWriter& response);

}  // namespace lmdeploy
