#include "text/special_marks.h"

#include <algorithm>

namespace lmdeploy {

namespace {

// The length of the mark that `text` begins with; 0 if it begins with none. A mark is "<NAME>" without
// space or angle bracket in its name, or "[NAME]" of the two families that write theirs so.
size_t mark_length(std::string_view text) {
  if (text.starts_with("[UNUSED_TOKEN_") || text.starts_with("[gMASK]")) return text.find(']') + 1;
  if (!text.starts_with('<')) return 0;
  const size_t end = text.find_first_of("<> \n", 1);
  return end == std::string_view::npos || end == 1 || text[end] != '>' ? 0 : end + 1;
}

void add_marks(std::string_view text, std::vector<std::string>& marks) {
  while (!text.empty()) {
    // "<<SYS>>" is Llama 2's, as text.
    const size_t length = text.starts_with("<<") ? 0 : mark_length(text);
    if (length > 0 && std::ranges::find(marks, text.substr(0, length)) == marks.end()) {
      marks.emplace_back(text.substr(0, length));
    }
    text.remove_prefix(text.starts_with("<<") ? 2 : std::max<size_t>(length, 1));
  }
}

}  // namespace

std::vector<std::string> special_marks(const ChatPieces& pieces) {
  std::vector<std::string> marks;
  if (pieces.plain_marks || pieces.capability != ChatPieces::Capability::kChat) return marks;
  for (const std::string* piece : {&pieces.start, &pieces.system, &pieces.eosys, &pieces.user, &pieces.eoh,
                                   &pieces.assistant, &pieces.eoa, &pieces.separator, &pieces.answer}) {
    add_marks(*piece, marks);
  }
  return marks;
}

}  // namespace lmdeploy
