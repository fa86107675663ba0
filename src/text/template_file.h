// Chat template files.
#pragma once

#include <cstddef>
#include <string>

#include "base/status.h"

namespace lmdeploy {

inline constexpr size_t kMaxTemplateBytes = size_t{4} << 20;

// The file's text as it is written: the template engine drops its own final newline. A file that is
// missing, longer than kMaxTemplateBytes or no UTF-8 is an error that names it.
Result<std::string> read_template_file(const std::string& path);

}  // namespace lmdeploy
