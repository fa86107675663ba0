// LMDeploy's endpoints on text: POST /v1/encode and POST /get_ppl.
#pragma once

#include "serve/serve_context.h"

namespace lmdeploy {

// `context` outlives the router.
void add_text_endpoints(Router& router, ServeContext& context);

}  // namespace lmdeploy
