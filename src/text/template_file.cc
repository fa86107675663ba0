#include "text/template_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/utf8.h"

namespace lmdeploy {

Result<std::string> read_template_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return invalid_argument("the chat template {} is a directory; expected a file", path);
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found("the chat template {} cannot be read", path);
  std::string text(kMaxTemplateBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (text.size() > kMaxTemplateBytes) {
    return invalid_argument("the chat template {} has more than {} bytes, the most that is read", path,
                            kMaxTemplateBytes);
  }
  if (!utf8_valid(text)) return invalid_argument("the chat template {} is not UTF-8", path);
  return text;
}

}  // namespace lmdeploy
