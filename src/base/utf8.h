// UTF-8: validation, decoding and encoding of single sequences (RFC 3629: no surrogates, nothing
// above U+10FFFF, no overlong forms).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lmdeploy {

// Bytes of the valid sequence at the front of `text` (1..4), or 0 if there is none.
size_t utf8_sequence_length(std::string_view text);

// True when `text` is the proper beginning of a longer valid sequence (so more bytes may complete
// it): 1..3 bytes such as "\xE2\x82".
bool utf8_incomplete(std::string_view text);

// Code point of the valid sequence at the front; advances `pos`. Invalid byte: U+FFFD, one byte on.
char32_t utf8_next(std::string_view text, size_t& pos);

void utf8_append(std::string& out, char32_t code_point);

bool utf8_valid(std::string_view text);

// Every byte that is not part of a valid sequence replaced by U+FFFD, one for each maximal
// ill-formed subpart (Unicode 3.9, as Python's errors="replace" and Rust's from_utf8_lossy do).
std::string utf8_replace_invalid(std::string_view text);

// Largest n <= max_bytes that does not cut a sequence.
size_t utf8_prefix(std::string_view text, size_t max_bytes);

}  // namespace lmdeploy
