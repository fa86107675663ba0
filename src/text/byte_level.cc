#include "text/byte_level.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kLastChar = 0x100 + 67;

struct Alphabet {
  std::array<char32_t, 256> char_of{};
  std::array<int16_t, kLastChar + 1> byte_of{};

  constexpr Alphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const char32_t c = stands_for_itself(byte) ? byte : next++;
      char_of[byte] = c;
      byte_of[c] = static_cast<int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_level_char(unsigned char byte) { return kAlphabet.char_of[byte]; }

std::optional<std::string> byte_level_bytes(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size());
  for (size_t pos = 0; pos < piece.size();) {
    const char32_t c = utf8_next(piece, pos);
    if (c > kLastChar || kAlphabet.byte_of[c] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.byte_of[c]);
  }
  return bytes;
}

}  // namespace lmdeploy
