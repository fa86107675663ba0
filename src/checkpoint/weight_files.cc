#include "checkpoint/weight_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>

#include "base/json.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

namespace {

namespace fs = std::filesystem;

// A kind of weight files, as save_pretrained names them.
struct Layout {
  const char *single, *index;
  std::string_view shard_head, suffix;
};
// The first that a directory has is taken.
constexpr Layout kLayouts[] = {
    {"model.safetensors", "model.safetensors.index.json", "model-", ".safetensors"},
    {"pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-", ".bin"},
};

// Names in the directory, sorted; a directory that cannot be read has none.
std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// First name with this beginning and end, or empty.
std::string first_named(const std::vector<std::string>& names, std::string_view head,
                        std::string_view tail) {
  for (const std::string& name : names) {
    if (name.starts_with(head) && name.ends_with(tail)) return name;
  }
  return {};
}

bool exists(const std::string& directory, const char* name) {
  std::error_code error;
  return fs::exists(fs::path(directory) / name, error);
}

// A bare file name: an index must not lead out of its directory.
bool is_shard_name(std::string_view name, std::string_view suffix) {
  return name.size() > suffix.size() && name.size() <= 255 && name.ends_with(suffix) &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Result<WeightFiles> read_index(const std::string& directory, const Layout& layout) {
  const std::string path = (fs::path(directory) / layout.index).string();
  ASSIGN_OR_RETURN(const json::value index, read_json_file(path));
  const json::object* top = index.if_object();
  const json::value* map = top == nullptr ? nullptr : find(*top, "weight_map");
  if (map == nullptr || !map->is_object() || map->get_object().empty()) {
    return data_loss("{} has no 'weight_map' that names the tensors' files", path);
  }
  WeightFiles out;
  std::set<std::string> files;
  ProblemList problems;
  for (const auto& [key, value] : map->get_object()) {
    const std::string tensor(key.data(), key.size());
    const json::string* text = value.if_string();
    const std::string file =
        text == nullptr ? std::string() : std::string(text->data(), text->size());
    if (!is_shard_name(file, layout.suffix)) {
      problems.add(
          "tensor '{}' is said to be in {}; expected the name of a {} file beside the index",
          tensor, to_json_text(value), layout.suffix);
      continue;
    }
    out.listed.emplace(tensor, file);
    files.insert(file);
  }
  RETURN_IF_ERROR(problems.status(StatusCode::kDataLoss, path));
  out.files.assign(files.begin(), files.end());
  return out;
}

}  // namespace

Result<WeightFiles> find_weight_files(const std::string& directory) {
  const std::vector<std::string> names = names_in(directory);
  for (const Layout& layout : kLayouts) {
    if (exists(directory, layout.index)) return read_index(directory, layout);
    if (exists(directory, layout.single)) return WeightFiles{{layout.single}, {}};
    if (const std::string shard = first_named(names, layout.shard_head, layout.suffix);
        !shard.empty()) {
      return not_found("{} holds {} but no {}, which names the parts; download it too", directory,
                       shard, layout.index);
    }
  }
  if (const std::string meta = first_named(names, "consolidated.", ""); !meta.empty()) {
    return unsupported(
        "{} holds only {}, weights in their maker's own layout; take the model's "
        "Hugging Face files (config.json, model.safetensors)",
        directory, meta);
  }
  return not_found(
      "{} has a config.json but no weights: neither {} nor {}, and no {}; download the model "
      "completely",
      directory, kLayouts[0].single, kLayouts[0].index, kLayouts[1].single);
}

Status check_model_directory(const std::string& directory) {
  std::error_code error;
  if (exists(directory, "triton_models") || fs::path(directory).filename() == "triton_models") {
    return unsupported(
        "{} is a TurboMind workspace (triton_models/), made by `lmdeploy convert`; it is "
        "not read. Pass the Hugging Face model that it was made from",
        directory);
  }
  if (exists(directory, "config.json")) return Status();
  const std::vector<std::string> names = names_in(directory);
  if (names.empty()) return not_found("{} is empty; download the model into it", directory);
  if (exists(directory, "adapter_config.json")) {
    return unsupported(
        "{} holds a LoRA adapter (adapter_config.json) and no model; pass the base "
        "model that adapter_config.json names",
        directory);
  }
  if (const std::string pth = first_named(names, "consolidated.", ".pth"); !pth.empty()) {
    return unsupported(
        "{} holds Meta's own weights ({}), which are not read; take the model's Hugging "
        "Face files, or convert it with transformers' convert_llama_weights_to_hf.py",
        directory, pth);
  }
  if (const std::string gguf = first_named(names, "", ".gguf"); !gguf.empty()) {
    return invalid_argument("{} has no config.json but GGUF files; pass the file itself: {}",
                            directory, (fs::path(directory) / gguf).string());
  }
  return not_found("{} has no config.json: it is no Hugging Face model directory", directory);
}

Status refuse_lfs_pointer(std::string_view text, std::string_view path) {
  if (!text.starts_with("version https://git-lfs")) return Status();
  return data_loss(
      "{} is a git-lfs pointer and not the file itself; run `git lfs pull` in the "
      "repository, or download the file",
      path);
}

}  // namespace lmdeploy
