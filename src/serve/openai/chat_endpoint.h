// POST /v1/chat/completions.
#pragma once

#include "serve/serve_context.h"

namespace lmdeploy {

// `context` outlives the router.
void add_chat_endpoint(Router& router, ServeContext& context);

}  // namespace lmdeploy
