// A Hugging Face directory (config.json, safetensors or torch .bin) as a Checkpoint.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "checkpoint/checkpoint.h"

namespace lmdeploy {

Result<std::unique_ptr<Checkpoint>> open_hf_checkpoint(const std::string& path,
                                                       CheckpointParts parts);

}  // namespace lmdeploy
