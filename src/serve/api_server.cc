#include "serve/api_server.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <optional>

#include "engine/model_text.h"
#include "http/server.h"
#include "serve/admin/admin_endpoints.h"
#include "serve/admin/throughput_log.h"
#include "serve/engine_host.h"
#include "serve/lmdeploy/text_endpoints.h"
#include "serve/openai/chat_endpoint.h"
#include "serve/openai/completion_endpoint.h"
#include "serve/openai/models_endpoint.h"

namespace lmdeploy {

struct ApiServer::Impl {
  Impl(std::unique_ptr<ModelHost> model_host, std::unique_ptr<ServerMetrics> server_metrics,
       const std::string& model_name, const ServerSettings& settings, Logger logger)
      : metrics(std::move(server_metrics)),
        context(*model_host, settings, model_name, std::move(logger)),
        host(std::move(model_host)) {}

  void add_routes();
  Result<ServerOptions> server_options();

  // Destroyed from the last to the first. The engine's last outputs and timings still find the
  // context and the metrics; their responses are closed by then.
  std::unique_ptr<ServerMetrics> metrics;
  ServeContext context;
  std::unique_ptr<ModelHost> host;
  std::optional<ThroughputLog> throughput_log;
  Router router;
  std::unique_ptr<HttpServer> http;
};

namespace {

constexpr auto kLastWords = std::chrono::milliseconds(2000);

// A preflight cannot carry a key, and tells nothing.
bool without_key(const Request& request) {
  return request.path() == "/health" || is_cors_preflight(request);
}

// The bearer key, checked before a stranger's body is read.
std::optional<Refusal> check_key(const ServeContext& context, const Request& request) {
  if (without_key(request) || context.keys.allows(request.headers.find("Authorization")))
    return std::nullopt;
  return Refusal{401,
                 {{"WWW-Authenticate", "Bearer"}},
                 error_json({401, "Please request with valid api key!", "", "invalid_api_key"})};
}

}  // namespace

void ApiServer::Impl::add_routes() {
  add_chat_endpoint(router, context);
  add_completion_endpoint(router, context);
  add_models_endpoint(router, context);
  add_text_endpoints(router, context);
  add_admin_endpoints(router, context, *metrics);
}

Result<ServerOptions> ApiServer::Impl::server_options() {
  const ServerSettings& settings = context.settings;
  ServerOptions options;
  options.host = settings.server_name;
  options.port = settings.server_port;
  options.cors = {settings.allow_origins, settings.allow_methods, settings.allow_headers,
                  settings.allow_credentials};
  options.limits.connections = settings.max_connections;
  options.limits.body_bytes = static_cast<size_t>(settings.max_body_mib) << 20;
  options.admit = [this](const Request& request) { return check_key(context, request); };
  options.error_body = [](int status, std::string_view message) {
    return error_json({status, std::string(message)});
  };
  options.on_access = [this](const AccessRecord& record) {
    metrics->observe(record);
    context.logger.info("{} \"{} {}\" {} {} B {:.3f} s{}", record.peer, record.method,
                        record.target, record.status, record.bytes_sent, record.seconds,
                        record.complete ? "" : " (client gone)");
  };
  if (!settings.ssl) return options;
  const char* certificate = std::getenv("SSL_CERTFILE");
  const char* key = std::getenv("SSL_KEYFILE");
  if (certificate == nullptr || key == nullptr) {
    return invalid_argument(
        "--ssl needs the environment variables SSL_CERTFILE and SSL_KEYFILE, the "
        "PEM files of the certificate and its key");
  }
  options.tls_certificate_file = certificate;
  options.tls_key_file = key;
  return options;
}

namespace {

Status check_settings(const ServerSettings& settings) {
  const struct {
    const char* flag;
    double value, least, most;
  } ranges[] = {
      {"--server-port", static_cast<double>(settings.server_port), 0, 65535},
      {"--max-connections", static_cast<double>(settings.max_connections), 1, 1e6},
      {"--max-body-mib", static_cast<double>(settings.max_body_mib), 1, 1024},
      {"--max-concurrent-requests", static_cast<double>(settings.max_concurrent_requests), 0, 1e6},
      {"--drain-seconds", settings.drain_seconds, 0, 86400}};
  for (const auto& range : ranges) {
    if (!(range.value >= range.least && range.value <= range.most)) {
      return invalid_argument("{} is {}; expected {} to {}", range.flag, range.value, range.least,
                              range.most);
    }
  }
  return {};
}

// Some templates know no system messages: better said now than at every request.
Status check_meta_instruction(const ModelHost& host, const std::string& text) {
  if (text.empty()) return {};
  ChatInput input;
  input.messages.push_back(json::object{{"role", "system"}, {"content", text}});
  input.messages.push_back(json::object{{"role", "user"}, {"content", "hi"}});
  const auto prompt = host.encode_chat(input);
  if (prompt.ok()) return {};
  return invalid_argument("--meta-instruction cannot be used with this model: {}",
                          prompt.status().message());
}

// As a URL spells it.
std::string url_host(const std::string& host) {
  return host.find(':') == host.npos ? host : "[" + host + "]";
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::start(std::unique_ptr<ModelHost> host,
                                                    std::unique_ptr<ServerMetrics> metrics,
                                                    const std::string& model_name,
                                                    const ServerSettings& settings, Logger logger) {
  RETURN_IF_ERROR(check_settings(settings));
  auto impl = std::make_unique<Impl>(std::move(host), std::move(metrics), model_name, settings,
                                     std::move(logger));
  impl->add_routes();
  ASSIGN_OR_RETURN(ServerOptions options, impl->server_options());
  raise_open_file_limit(settings.max_connections + 256);
  if (impl->context.keys.empty() && !settings.api_keys.empty()) {
    return invalid_argument("--api-keys holds no key; an empty one would leave the server open");
  }
  if (impl->context.keys.empty() && !is_loopback(settings.server_name)) {
    impl->context.logger.warning(
        "anyone who reaches {}:{} may use this server: set --api-keys, or "
        "--server-name 127.0.0.1 for this machine alone",
        url_host(settings.server_name), settings.server_port);
  }
  ASSIGN_OR_RETURN(impl->http,
                   HttpServer::start(std::move(options),
                                     [impl = impl.get()](Request request, ResponseWriter response) {
                                       impl->router.handle(std::move(request), std::move(response));
                                     }));
  impl->throughput_log.emplace([host = impl->host.get()] { return host->stats(); },
                               impl->context.logger);
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

Result<std::unique_ptr<ApiServer>> ApiServer::start(const std::string& model,
                                                    const EngineOptions& engine_options,
                                                    const std::string& chat_template,
                                                    const ServerSettings& settings, Logger logger) {
  RETURN_IF_ERROR(check_settings(settings));
  const std::string name = settings.model_name.empty() ? model : settings.model_name;
  auto metrics = std::make_unique<ServerMetrics>(name);
  ASSIGN_OR_RETURN(auto host, EngineHost::create(model, engine_options,
                                                 template_with_capability(chat_template, settings.cap),
                                                 logger, *metrics));
  RETURN_IF_ERROR(check_meta_instruction(*host, settings.meta_instruction));
  return start(std::move(host), std::move(metrics), name, settings, std::move(logger));
}

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ApiServer::~ApiServer() { stop(0); }

int ApiServer::port() const { return impl_->http->port(); }

std::string ApiServer::url() const {
  const ServerSettings& settings = impl_->context.settings;
  return fmt::format("{}://{}:{}", settings.ssl ? "https" : "http", url_host(settings.server_name),
                     port());
}

const std::string& ApiServer::model_name() const { return impl_->context.model_name; }

bool ApiServer::stop(double drain_seconds) {
  const bool drained = impl_->http->drain(drain_seconds);
  if (!drained) {
    impl_->host->close(kLastWords);  // whoever waits still is told why
    impl_->http->drain(std::chrono::duration<double>(kLastWords).count());
  }
  impl_->http->stop(0);
  return drained;
}

}  // namespace lmdeploy
