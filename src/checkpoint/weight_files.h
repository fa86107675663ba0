// Which files of a Hugging Face directory hold the weights, and why other layouts are refused.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

struct WeightFiles {
  std::vector<std::string> files;             // names inside the directory, each once
  std::map<std::string, std::string> listed;  // tensor -> file, where an index says so
};

// model.safetensors.index.json, else model.safetensors, else pytorch_model.bin.index.json, else
// pytorch_model.bin. Anything else (Meta .pth, parts without their index, nothing) is kUnsupported or
// kNotFound by name, with what to do. An index with impossible file names is kDataLoss.
Result<WeightFiles> find_weight_files(const std::string& directory);

// Refuses a directory that is no Hugging Face model, by what it is instead; OK when it has a
// config.json.
Status check_model_directory(const std::string& directory);

// kDataLoss when the text is a git-lfs pointer instead of the file that it stands for.
Status refuse_lfs_pointer(std::string_view text, std::string_view path);

}  // namespace lmdeploy
