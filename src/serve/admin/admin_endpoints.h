// GET /health and GET /metrics, and the routes of LMDeploy that this version does not have.
#pragma once

#include "serve/admin/server_metrics.h"
#include "serve/serve_context.h"

namespace lmdeploy {

// `context` and `metrics` outlive the router.
void add_admin_endpoints(Router& router, ServeContext& context, ServerMetrics& metrics);

}  // namespace lmdeploy
