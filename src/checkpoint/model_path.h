// What a user calls a model -> the path of its files.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace lmdeploy {

// A path that exists is returned as it is. Otherwise an id such as "Qwen/Qwen2.5-0.5B-Instruct" is
// looked up in the local Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub): the snapshot that refs/main names.
// kNotFound says where it was looked for and how to get the model: nothing is downloaded.
Result<std::string> resolve_model_path(std::string_view model);

// What the model is called there: the last component of its path (a file's without ".gguf"), or the name in
// "models--org--name/snapshots/abc" of the cache.
std::string name_of_model_path(const std::string& path);

}  // namespace lmdeploy
