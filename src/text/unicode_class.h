// CharClasses: the general-category groups that pre-tokenizers ask for, one byte a code point.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmdeploy {

// Bits of a class. Lm and Lo letters carry kLetter alone; unassigned code points carry nothing.
enum CharClass : uint8_t {
  kLetter = 1,        // L*
  kNumber = 2,        // N*
  kSpace = 4,         // White_Space
  kMark = 8,          // M*
  kPunctuation = 16,  // P*
  kSymbol = 32,       // S*
  kUpper = 64,        // Lu, Lt
  kLower = 128,       // Ll
};

// Immutable. utf8proc's categories, and those of the newer Unicode version that Hugging Face
// `tokenizers` matches regexes with (unicode_later_ranges.inc).
class CharClasses {
 public:
  static const CharClasses& get();

  uint8_t of(char32_t c) const { return blocks_[size_t{block_of_[c >> 8]} << 8 | (c & 0xFF)]; }
  // What the Digits pre-tokenizer splits on: kNumber and a few newer digits.
  bool is_digit(char32_t c) const;

 private:
  CharClasses();
  std::array<uint16_t, 0x1100> block_of_;
  std::vector<uint8_t> blocks_;  // 256 classes each, equal blocks shared
};

// One code point of valid UTF-8.
struct DecodedChar {
  char32_t code;
  uint32_t length;  // bytes, 1..4
};

// `p` must point at the start of a valid sequence.
inline DecodedChar decode_valid_utf8(const char* p) {
  const auto byte = [p](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

}  // namespace lmdeploy
