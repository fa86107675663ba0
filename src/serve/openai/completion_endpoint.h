// POST /v1/completions.
#pragma once

#include "serve/serve_context.h"

namespace lmdeploy {

// `context` outlives the router.
void add_completion_endpoint(Router& router, ServeContext& context);

}  // namespace lmdeploy
