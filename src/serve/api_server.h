// ApiServer: the OpenAI-compatible server over one engine.
//
//   ASSIGN_OR_RETURN(auto server, ApiServer::start(model, engine_options, chat_template, settings,
//   logger));
//   ... until SIGTERM ...
//   server->stop(settings.drain_seconds);
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "engine/engine_options.h"
#include "serve/model_host.h"
#include "serve/server_options.h"

namespace lmdeploy {

class ServerMetrics;

class ApiServer {
 public:
  // Loads the model, listens and serves on threads of its own.
  static Result<std::unique_ptr<ApiServer>> start(const std::string& model,
                                                  const EngineOptions& engine_options,
                                                  const std::string& chat_template,
                                                  const ServerSettings& settings, Logger logger);
  // Serves a model that runs already, under `model_name`.
  static Result<std::unique_ptr<ApiServer>> start(std::unique_ptr<ModelHost> host,
                                                  std::unique_ptr<ServerMetrics> metrics,
                                                  const std::string& model_name,
                                                  const ServerSettings& settings, Logger logger);
  // stop(0).
  ~ApiServer();

  int port() const;
  // "http://0.0.0.0:23333"
  std::string url() const;
  const std::string& model_name() const;

  // Refuses new connections, lets answers under way finish for `drain_seconds`, then ends the rest
  // with an error (a 503, or an event of the stream). From any thread but the server's own. True when
  // everything finished in time.
  bool stop(double drain_seconds);

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lmdeploy
