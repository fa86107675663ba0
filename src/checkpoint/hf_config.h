// config.json as published in several generations of spellings, rewritten to one
// (docs/formats/config.md).
#pragma once

#include <string>

#include "base/json.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

// The language model's configuration in classic spelling. The result always has "architectures"
// with one name, and "torch_dtype", "rope_theta", "rope_scaling" in their old places wherever the
// file has them in new ones. `multimodal` is set when the configuration was nested in a wrapper's.
// What cannot be understood goes to `problems`.
json::object classic_config(json::object config, bool& multimodal, ProblemList& problems);

}  // namespace lmdeploy
