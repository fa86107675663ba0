// The byte-level alphabet: GPT-2's bijection between bytes and printable code points, in which
// byte-level vocabularies spell their pieces ("Ġhello" is " hello").
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lmdeploy {

// Printable Latin-1 stands for itself; the other 68 bytes, in order, for U+0100 and up.
char32_t byte_level_char(unsigned char byte);

// The bytes that `piece` spells, or nullopt if a character of it is outside the alphabet.
std::optional<std::string> byte_level_bytes(std::string_view piece);

}  // namespace lmdeploy
