// Token ids as a user writes them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lmdeploy::cli {

// "1, 15043" or "[1, 15043]": ids with one comma between two, spaces anywhere, one pair of brackets around
// them or none. At least one id. Errors name --input-ids and the byte.
Result<std::vector<int32_t>> parse_token_ids(std::string_view text);

}  // namespace lmdeploy::cli
