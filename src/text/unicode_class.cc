#include "text/unicode_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>

namespace lmdeploy {

namespace {

struct ClassRange {
  char32_t first, last;
  uint8_t bits;
};

#include "text/unicode_later_ranges.inc"

uint8_t class_of_category(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT: return kLetter | kUpper;
    case UTF8PROC_CATEGORY_LL: return kLetter | kLower;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return kLetter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return kMark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return kSymbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return kSpace;
    default: return 0;
  }
}

uint8_t class_of(char32_t c) {
  if ((c >= 0x09 && c <= 0x0D) || c == 0x85) return kSpace;  // White_Space beside Z*
  return class_of_category(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
}

}  // namespace

CharClasses::CharClasses() {
  std::map<std::array<uint8_t, 256>, uint16_t> known;
  for (size_t high = 0; high < block_of_.size(); ++high) {
    std::array<uint8_t, 256> block{};
    // Planes 4 to 13 are unassigned, 15 and 16 private: no class.
    if (high < 0x400 || (high >= 0xE00 && high < 0xF00)) {
      for (size_t low = 0; low < 256; ++low) block[low] = class_of(static_cast<char32_t>(high << 8 | low));
    }
    for (const ClassRange& range : kLaterRanges) {
      for (char32_t c = std::max<char32_t>(range.first, static_cast<char32_t>(high << 8));
           c <= range.last && c >> 8 == high; ++c) {
        block[c & 0xFF] = range.bits;
      }
    }
    const auto [entry, is_new] = known.try_emplace(block, static_cast<uint16_t>(known.size()));
    if (is_new) blocks_.insert(blocks_.end(), block.begin(), block.end());
    block_of_[high] = entry->second;
  }
}

bool CharClasses::is_digit(char32_t c) const {
  if ((of(c) & kNumber) != 0) return true;
  return std::ranges::any_of(kLaterDigits, [c](const ClassRange& range) {
    return c >= range.first && c <= range.last;
  });
}

const CharClasses& CharClasses::get() {
  static const CharClasses classes;
  return classes;
}

}  // namespace lmdeploy
