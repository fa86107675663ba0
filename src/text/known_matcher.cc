// Hand-written matchers of the pre-tokenizer regexes in known_patterns.h: one pass, no backtracking
// beyond one character class run.
#include <utility>

#include "text/known_patterns.h"
#include "text/matcher.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

// Walks over valid UTF-8.
class Scanner {
 public:
  Scanner(std::string_view text, const CharClasses& classes)
      : p_(text.data()), end_(text.size()), classes_(classes) {}

  size_t end() const { return end_; }
  bool at_end(size_t pos) const { return pos >= end_; }
  unsigned char byte(size_t pos) const { return static_cast<unsigned char>(p_[pos]); }
  bool is(size_t pos, char c) const { return pos < end_ && p_[pos] == c; }
  bool is_newline(size_t pos) const { return is(pos, '\n') || is(pos, '\r'); }

  // Class of the character at `pos`, and its length. Nothing at the end of the text.
  std::pair<uint8_t, size_t> look(size_t pos) const {
    if (pos >= end_) return {0, 0};
    const DecodedChar c = decode_valid_utf8(p_ + pos);
    return {classes_.of(c.code), c.length};
  }
  char32_t code(size_t pos) const { return decode_valid_utf8(p_ + pos).code; }

  // First position at or after `pos` whose character fails `keep(class)`, after at most `limit`.
  template <class Keep>
  size_t skip(size_t pos, Keep keep, size_t limit = ~size_t{0}) const {
    for (; pos < end_ && limit > 0; --limit) {
      const auto [bits, length] = look(pos);
      if (!keep(bits)) break;
      pos += length;
    }
    return pos;
  }
  size_t skip_newlines(size_t pos, bool or_slash) const {
    while (is_newline(pos) || (or_slash && is(pos, '/'))) ++pos;
    return pos;
  }

 private:
  const char* p_;
  size_t end_;
  const CharClasses& classes_;
};

constexpr bool is_letter(uint8_t bits) { return (bits & kLetter) != 0; }
constexpr bool is_number(uint8_t bits) { return (bits & kNumber) != 0; }
constexpr bool is_space(uint8_t bits) { return (bits & kSpace) != 0; }
constexpr bool is_other(uint8_t bits) { return (bits & (kLetter | kNumber | kSpace)) == 0; }
constexpr bool is_letter_or_mark(uint8_t bits) { return (bits & (kLetter | kMark)) != 0; }
constexpr bool is_punctuation(uint8_t bits) { return (bits & (kPunctuation | kSymbol)) != 0; }
// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}]
constexpr bool is_upperish(uint8_t bits) { return is_letter_or_mark(bits) && (bits & kLower) == 0; }
constexpr bool is_lowerish(uint8_t bits) { return is_letter_or_mark(bits) && (bits & kUpper) == 0; }

// 's|'t|'re|'ve|'m|'ll|'d at `pos`: its end, or `pos` if there is none. With `any_case`, as Unicode
// folds case: U+017F is an s.
size_t contraction(const Scanner& scan, size_t pos, bool any_case) {
  if (!scan.is(pos, '\'') || scan.at_end(pos + 1)) return pos;
  const auto letter = [&](size_t at) -> char {
    if (scan.at_end(at)) return 0;
    const auto c = static_cast<char>(scan.byte(at));
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  };
  const char first = letter(pos + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return pos + 2;
  if (any_case && scan.code(pos + 1) == 0x17F) return pos + 3;
  const char second = letter(pos + 2);
  if ((first == 'r' || first == 'v') && second == 'e') return pos + 3;
  if (first == 'l' && second == 'l') return pos + 3;
  return pos;
}

// \s+(?!\S)|\s+ at `pos`: a run of spaces leaves its last one to the word that follows.
size_t spaces(const Scanner& scan, size_t pos) {
  size_t last = pos, end = pos;
  while (true) {
    const auto [bits, length] = scan.look(end);
    if (!is_space(bits)) break;
    last = end;
    end += length;
  }
  return end == scan.end() || last == pos ? end : last;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ at `pos`: through the last line break of the run if it has one.
size_t lines_or_spaces(const Scanner& scan, size_t pos) {
  const size_t end = scan.skip(pos, is_space);
  for (size_t i = end; i > pos; --i) {
    if (scan.is_newline(i - 1)) return i;
  }
  return spaces(scan, pos);
}

//  ?CLASS+ at `pos`: its end, or `pos`.
template <class Keep>
size_t spaced_run(const Scanner& scan, size_t pos, Keep keep) {
  const size_t start = pos + (scan.is(pos, ' ') ? 1 : 0);
  const size_t end = scan.skip(start, keep);
  return end > start ? end : pos;
}

struct Gpt2 {
  static size_t match(const Scanner& scan, size_t pos) {
    if (const size_t end = contraction(scan, pos, false); end > pos) return end;
    const auto [bits, length] = scan.look(pos + (scan.is(pos, ' ') ? 1 : 0));
    if (length > 0 && !is_space(bits)) {
      if (is_letter(bits)) return spaced_run(scan, pos, is_letter);
      if (is_number(bits)) return spaced_run(scan, pos, is_number);
      return spaced_run(scan, pos, is_other);
    }
    return spaces(scan, pos);
  }
};

template <size_t kDigits>
struct Cl100k {
  static size_t match(const Scanner& scan, size_t pos) {
    if (const size_t end = contraction(scan, pos, true); end > pos) return end;
    const auto [bits, length] = scan.look(pos);
    if (is_letter(bits)) return scan.skip(pos + length, is_letter);
    if (is_number(bits)) return scan.skip(pos, is_number, kDigits);
    if (!scan.is_newline(pos)) {
      const size_t end = scan.skip(pos + length, is_letter);
      if (end > pos + length) return end;
    }
    if (const size_t end = spaced_run(scan, pos, is_other); end > pos) {
      return scan.skip_newlines(end, false);
    }
    return lines_or_spaces(scan, pos);
  }
};

// [upperish]*[lowerish]+ from `pos`, or `pos`. Greedy: the upperish run gives back characters until
// one that is lowerish too can stand for the second class.
size_t lowercase_word(const Scanner& scan, size_t pos) {
  size_t end_of_both = pos;  // after the last character of the upperish run that is lowerish too
  size_t upper_end = pos;
  while (true) {
    const auto [bits, length] = scan.look(upper_end);
    if (!is_upperish(bits)) break;
    upper_end += length;
    if (is_lowerish(bits)) end_of_both = upper_end;
  }
  const size_t end = scan.skip(upper_end, is_lowerish);
  return end > upper_end ? end : end_of_both;
}

// [upperish]+[lowerish]* from `pos`, or `pos`.
size_t uppercase_word(const Scanner& scan, size_t pos) {
  const size_t upper_end = scan.skip(pos, is_upperish);
  return upper_end == pos ? pos : scan.skip(upper_end, is_lowerish);
}

template <size_t kDigits, bool kContractions>
struct O200k {
  static size_t match(const Scanner& scan, size_t pos) {
    const auto [bits, length] = scan.look(pos);
    // [^\r\n\p{L}\p{N}]? takes this character if it can; a mark can also begin the word itself.
    const bool prefix = !is_letter(bits) && !is_number(bits) && !scan.is_newline(pos);
    for (const auto word : {lowercase_word, uppercase_word}) {
      size_t start = pos + (prefix ? length : 0);
      size_t end = word(scan, start);
      if (end == start && (bits & kMark) != 0) {
        start = pos;
        end = word(scan, start);
      }
      if (end > start) return kContractions ? contraction(scan, end, true) : end;
    }
    if (is_number(bits)) return scan.skip(pos, is_number, kDigits);
    if (const size_t end = spaced_run(scan, pos, is_other); end > pos) {
      return scan.skip_newlines(end, true);
    }
    return lines_or_spaces(scan, pos);
  }
};

struct Digits3 {
  static size_t match(const Scanner& scan, size_t pos) { return scan.skip(pos, is_number, 3); }
};

struct DeepseekCjk {
  static size_t match(const Scanner& scan, size_t pos) {
    while (!scan.at_end(pos)) {
      const char32_t c = scan.code(pos);
      if (!(c >= 0x4E00 && c <= 0x9FA5) && !(c >= 0x3040 && c <= 0x30FF)) break;
      pos += 3;
    }
    return pos;
  }
};

struct DeepseekV3 {
  static bool is_ascii_letter(unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

  static size_t match(const Scanner& scan, size_t pos) {
    const auto [bits, length] = scan.look(pos);
    if (is_punctuation(bits) && length == 1) {
      size_t end = pos + 1;
      while (!scan.at_end(end) && is_ascii_letter(scan.byte(end))) ++end;
      if (end > pos + 1) return end;
    }
    if (is_letter(bits)) return scan.skip(pos, is_letter_or_mark);
    if (!is_punctuation(bits) && !scan.is_newline(pos)) {
      const size_t end = scan.skip(pos + length, is_letter_or_mark);
      if (end > pos + length || is_letter_or_mark(bits)) return end;
    }
    if (const size_t end = spaced_run(scan, pos, is_punctuation); end > pos) {
      return scan.skip_newlines(end, false);
    }
    return is_space(bits) ? lines_or_spaces(scan, pos) : pos;
  }
};

// \s?CLASS+
template <uint8_t kClass>
struct Spaced {
  static size_t match(const Scanner& scan, size_t pos) {
    const auto [bits, length] = scan.look(pos);
    const size_t start = is_space(bits) ? pos + length : pos;
    const size_t end = scan.skip(start, [](uint8_t c) { return (c & kClass) != 0; });
    return end > start ? end : pos;
  }
};

template <class Pattern>
class KnownMatcher : public Matcher {
 public:
  bool next(std::string_view text, size_t from, Match& match) const override {
    const Scanner scan(text, classes_);
    for (size_t pos = from; pos < text.size(); pos += scan.look(pos).second) {
      const size_t end = Pattern::match(scan, pos);
      if (end > pos) {
        match = {pos, end};
        return true;
      }
    }
    return false;
  }

 private:
  const CharClasses& classes_ = CharClasses::get();
};

}  // namespace

std::unique_ptr<Matcher> make_known_matcher(std::string_view regex) {
  if (regex == kGpt2Pattern) return std::make_unique<KnownMatcher<Gpt2>>();
  if (regex == kLlama3Pattern) return std::make_unique<KnownMatcher<Cl100k<3>>>();
  if (regex == kQwen2Pattern) return std::make_unique<KnownMatcher<Cl100k<1>>>();
  if (regex == kO200kPattern) return std::make_unique<KnownMatcher<O200k<3, true>>>();
  if (regex == kTekkenPattern) return std::make_unique<KnownMatcher<O200k<1, false>>>();
  if (regex == kDigits3Pattern) return std::make_unique<KnownMatcher<Digits3>>();
  if (regex == kDeepseekCjkPattern) return std::make_unique<KnownMatcher<DeepseekCjk>>();
  if (regex == kSpacedLettersPattern) return std::make_unique<KnownMatcher<Spaced<kLetter>>>();
  if (regex == kSpacedPunctuationPattern) {
    return std::make_unique<KnownMatcher<Spaced<kPunctuation>>>();
  }
  if (regex == kDeepseekV3Pattern) return std::make_unique<KnownMatcher<DeepseekV3>>();
  return nullptr;
}

}  // namespace lmdeploy
