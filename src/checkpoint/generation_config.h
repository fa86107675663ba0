// generation_config.json: stop ids and sampling defaults.
#pragma once

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

// `generation` is the file's object (empty when there is none). Stop ids and BOS that it does not
// name come from `config`.
GenerationDefaults read_generation_defaults(const json::object& generation,
                                            const json::object& config, ProblemList& problems);

}  // namespace lmdeploy
