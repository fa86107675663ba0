// A GGUF file as a Checkpoint.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "checkpoint/checkpoint.h"

namespace lmdeploy {

Result<std::unique_ptr<Checkpoint>> open_gguf_checkpoint(const std::string& path);

}  // namespace lmdeploy
