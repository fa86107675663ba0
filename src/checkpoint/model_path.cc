#include "checkpoint/model_path.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/environment.h"

namespace lmdeploy {

namespace {

namespace fs = std::filesystem;

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (std::string path = environment(name); !path.empty()) return path;
  }
  if (std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return fs::path(cache) / "huggingface" / "hub";
  }
  return fs::path(environment("HOME")) / ".cache" / "huggingface" / "hub";
}

// "name" or "org/name" in letters, digits, '-', '_' and '.', neither part beginning with '.'.
bool is_hub_id(std::string_view model) {
  const size_t slash = model.find('/');
  if (model.empty() || model.size() > 200 || model.find("..") != std::string_view::npos)
    return false;
  if (model.find('/', slash == std::string_view::npos ? 0 : slash + 1) != std::string_view::npos) {
    return false;
  }
  for (size_t i = 0; i < model.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(model[i]);
    const bool first = i == 0 || model[i - 1] == '/';
    if (c == '/' && !first && i + 1 < model.size()) continue;
    if (!(std::isalnum(c) || c == '-' || c == '_' || (c == '.' && !first))) return false;
  }
  return true;
}

bool is_revision(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) != 0;
  });
}

// The snapshot that refs/main names or, where that is missing, the only one; empty if none.
fs::path snapshot_of(const fs::path& repository) {
  std::error_code error;
  std::string revision;
  std::ifstream(repository / "refs" / "main") >> revision;
  if (is_revision(revision)) {
    const fs::path snapshot = repository / "snapshots" / revision;
    if (fs::is_directory(snapshot, error)) return snapshot;
  }
  std::vector<fs::path> snapshots;
  for (fs::directory_iterator it(repository / "snapshots", error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_directory(error)) snapshots.push_back(it->path());
  }
  return snapshots.size() == 1 ? snapshots[0] : fs::path();
}

}  // namespace

Result<std::string> resolve_model_path(std::string_view model) {
  if (model.empty()) return invalid_argument("the model's name is empty");
  std::error_code error;
  if (fs::exists(fs::path(model), error)) return std::string(model);
  if (!is_hub_id(model)) return not_found("{} does not exist", model);
  std::string folder = "models--";
  for (char c : model) folder += c == '/' ? std::string("--") : std::string(1, c);
  const fs::path cache = hub_cache();
  const fs::path snapshot = snapshot_of(cache / folder);
  if (!snapshot.empty()) return snapshot.string();
  return not_found(
      "'{}' is neither a file, nor a directory, nor a model in the Hugging Face cache ({}). "
      "Downloading is not in this version: run `huggingface-cli download {}`, or copy the "
      "model here and pass its path",
      model, cache.string(), model);
}

std::string name_of_model_path(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (whole.filename().empty()) whole = whole.parent_path();
  if (whole.extension() == ".gguf") return whole.stem().string();
  const std::string repository = whole.parent_path().parent_path().filename().string();
  if (whole.parent_path().filename() == "snapshots" && repository.starts_with("models--")) {
    return repository.substr(repository.rfind("--") + 2);
  }
  return whole.filename().string();
}

}  // namespace lmdeploy
