#include "text/token_decoder.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

// Bytes at the end of `bytes` that more bytes may turn into a character.
size_t incomplete_tail(std::string_view bytes) {
  for (size_t n = 1; n <= std::min<size_t>(3, bytes.size()); ++n) {
    const std::string_view tail = bytes.substr(bytes.size() - n);
    if ((static_cast<unsigned char>(tail[0]) & 0xC0) == 0x80) continue;
    return utf8_incomplete(tail) ? n : 0;
  }
  return 0;
}

}  // namespace

void TokenDecoder::add(std::string_view text, std::optional<uint8_t> byte,
                       std::optional<std::string> first_text) {
  if (first_text && *first_text != text) {
    first_texts_.emplace(static_cast<int32_t>(pieces_.size()), std::move(*first_text));
  }
  pieces_.push_back({blob_.size(), static_cast<uint32_t>(text.size()),
                     static_cast<int16_t>(byte ? *byte : -1)});
  blob_ += text;
}

void TokenDecoder::push(int32_t id, DecodeState& state) const {
  if (id < 0 || static_cast<size_t>(id) >= pieces_.size()) return;
  const Piece& piece = pieces_[static_cast<size_t>(id)];
  std::string_view text(blob_.data() + piece.offset, piece.length);
  const bool first = std::exchange(state.first, false);
  if (first && !first_texts_.empty()) {
    if (const auto other = first_texts_.find(id); other != first_texts_.end()) text = other->second;
  }
  if (mode == Mode::kBytes) {
    state.text += text;
  } else if (piece.byte >= 0) {
    state.byte_run += static_cast<char>(piece.byte);
  } else {
    end_byte_run(state);
    if (mode == Mode::kSpaced && !first) append(" ", state);
    append(text, state);
  }
}

// As `tokenizers` has it: a run that is not UTF-8 as a whole is one U+FFFD for each of its bytes.
void TokenDecoder::end_byte_run(DecodeState& state) const {
  if (state.byte_run.empty()) return;
  if (utf8_valid(state.byte_run)) {
    append(state.byte_run, state);
  } else {
    for (size_t i = 0; i < state.byte_run.size(); ++i) append("\xEF\xBF\xBD", state);
  }
  state.byte_run.clear();
}

void TokenDecoder::append(std::string_view text, DecodeState& state) const {
  while (!state.body && !text.empty()) {
    if (state.stripped == max_stripped || text[0] != strip) {
      state.body = true;
    } else {
      ++state.stripped;
      text.remove_prefix(1);
    }
  }
  state.text += text;
}

std::string TokenDecoder::take_certain(DecodeState& state) const {
  if (mode != Mode::kBytes) return std::exchange(state.text, {});
  const size_t held = incomplete_tail(state.text);
  const std::string_view certain(state.text.data(), state.text.size() - held);
  std::string out = utf8_replace_invalid(certain);
  state.text.erase(0, certain.size());
  return out;
}

std::string TokenDecoder::take_rest(DecodeState& state) const {
  end_byte_run(state);
  if (mode != Mode::kBytes || utf8_valid(state.text)) return std::exchange(state.text, {});
  return utf8_replace_invalid(std::exchange(state.text, {}));
}

}  // namespace lmdeploy
