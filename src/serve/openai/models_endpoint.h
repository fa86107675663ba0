// GET /v1/models.
#pragma once

#include "serve/serve_context.h"

namespace lmdeploy {

// `context` outlives the router.
void add_models_endpoint(Router& router, ServeContext& context);

}  // namespace lmdeploy
