#include "serve/admin/admin_endpoints.h"

#include "base/clock.h"
#include "serve/admin/step_watch.h"
#include "serve/json_writer.h"

namespace lmdeploy {

namespace {

// Documented routes of LMDeploy, answered with 501 so that a client learns why.
constexpr struct {
  const char* method;
  const char* path;
} kLater[] = {
    {"POST", "/v1/chat/interactive"},
    {"POST", "/v1/embeddings"},
    {"POST", "/v1/chat/completions_qos"},
    {"POST", "/v1/completions_qos"},
    {"POST", "/v1/chat/interactive_qos"},
    {"POST", "/generate"},
    {"POST", "/pooling"},
    {"POST", "/v1/messages"},
    {"POST", "/v1/messages/count_tokens"},
    {"POST", "/v1/responses"},
    {"POST", "/sleep"},
    {"POST", "/wakeup"},
    {"GET", "/is_sleeping"},
    {"POST", "/update_weights"},
    {"POST", "/abort_request"},
    {"GET", "/terminate"},
};

}  // namespace

void add_admin_endpoints(Router& router, ServeContext& context, ServerMetrics& metrics) {
  router.add("GET", "/health",
             [&context, watch = std::make_shared<StepWatch>()](Request, ResponseWriter response) {
               const bool stalled = watch->stalled(context.host.stats(), monotonic_seconds());
               std::string body;
               JsonWriter json(body);
               json.open('{').field("status", stalled ? "unhealthy" : "healthy");
               json.field("message",
                          stalled ? "requests are running but the engine takes no step" : "");
               json.close('}');
               response.send_json(stalled ? 503 : 200, std::move(body));
             });
  if (!context.settings.disable_metrics) {
    router.add("GET", "/metrics", [&context, &metrics](Request, ResponseWriter response) {
      response.send(200, kPrometheusContentType, metrics.text(context.host.stats()));
    });
  }
  for (const auto& route : kLater) {
    router.add(route.method, route.path, [](Request request, ResponseWriter response) {
      send_error(response, not_in_this_version(request.method + " " + std::string(request.path())));
    });
  }
}

}  // namespace lmdeploy
