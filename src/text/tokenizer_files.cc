// Which of a directory's files holds the vocabulary.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/environment.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

namespace fs = std::filesystem;

constexpr const char* kNames[] = {"tokenizer.json", "tokenizer.model", "qwen.tiktoken"};
constexpr size_t kMaxFileBytes = size_t{32} << 20;  // the largest published have 5 MB
// Where the `tiktoken` package keeps cl100k_base: the SHA-1 of its address.
constexpr const char* kCl100kInCache = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4";

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The first of kNames, else the first *.tiktoken; empty if none.
std::string vocabulary_in(const fs::path& folder) {
  for (const char* name : kNames) {
    if (is_there(folder / name)) return (folder / name).string();
  }
  std::string first;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    if (it->path().extension() == ".tiktoken" && (first.empty() || path < first)) first = path;
  }
  return first;
}

// DBRX publishes code that has the `tiktoken` package fetch cl100k_base.
Result<std::string> cl100k_elsewhere(const std::string& directory) {
  for (const char* name : {"TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"}) {
    const std::string cache = environment(name);
    if (!cache.empty() && is_there(fs::path(cache) / kCl100kInCache))
      return (fs::path(cache) / kCl100kInCache).string();
  }
  return not_found(
      "{} has no vocabulary of its own: its tokenizer is OpenAI's cl100k_base, which the "
      "`tiktoken` package "
      "downloads. Put cl100k_base.tiktoken into the directory, or set TIKTOKEN_CACHE_DIR to that "
      "package's cache",
      directory);
}

Result<std::string> find_vocabulary(const std::string& directory, const TokenizerConfig& config) {
  const std::string path = vocabulary_in(directory);
  if (!path.empty()) return path;
  if (config.tokenizer_class == "TiktokenTokenizerWrapper") return cl100k_elsewhere(directory);
  return not_found(
      "{} has no vocabulary: no tokenizer.json, tokenizer.model or *.tiktoken; download the model "
      "completely",
      directory);
}

Result<std::string> read_bytes(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return not_found("{} cannot be read: {}", path, error.message());
  if (size > kMaxFileBytes)
    return data_loss("{} has {} bytes; at most {} are accepted", path, size, kMaxFileBytes);
  std::string bytes(size, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!file) return not_found("{} cannot be read", path);
  return bytes;
}

Result<TokenizerParts> read_vocabulary(const std::string& path, const TokenizerConfig& config) {
  ASSIGN_OR_RETURN(const std::string bytes, read_bytes(path));
  if (bytes.starts_with("version https://git-lfs")) {
    return data_loss(
        "{} is a git-lfs pointer and not the file itself; run `git lfs pull`, or download it",
        path);
  }
  auto parts = is_tiktoken(bytes) ? read_tiktoken(bytes, fs::path(path).filename().string(), config)
                                  : read_sentencepiece(bytes, config);
  if (!parts.ok()) return Status(parts.status().code(), path + ": " + parts.status().message());
  return parts;
}

Result<TokenizerParts> read_json_vocabulary(const std::string& path,
                                            const TokenizerConfig& config) {
  ASSIGN_OR_RETURN(TokenizerParts parts, read_tokenizer_json(path));
  apply_tokenizer_config(config, parts);
  return parts;
}

}  // namespace

bool Tokenizer::has_files(const std::string& directory) {
  return !vocabulary_in(directory).empty();
}

Result<TokenizerParts> read_tokenizer_files(const std::string& path) {
  TokenizerConfig config;
  std::string file = path;
  if (std::error_code error; fs::is_directory(path, error)) {
    ASSIGN_OR_RETURN(config, read_tokenizer_config(path));
    ASSIGN_OR_RETURN(file, find_vocabulary(path, config));
  }
  const bool is_json = fs::path(file).extension() == ".json";
  ASSIGN_OR_RETURN(TokenizerParts parts,
                   is_json ? read_json_vocabulary(file, config) : read_vocabulary(file, config));
  collect_end_ids(parts);
  return parts;
}

}  // namespace lmdeploy
