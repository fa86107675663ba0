// Strings that are special tokens to the models a chat template was made for.
#pragma once

#include <string>
#include <vector>

#include "text/builtin_templates.h"

namespace lmdeploy {

// What looks like a special token in the pieces ("<|im_end|>", "</s>", "[gMASK]"), each once. A model
// whose vocabulary lacks them was not trained on this template.
std::vector<std::string> special_marks(const ChatPieces& pieces);

}  // namespace lmdeploy
