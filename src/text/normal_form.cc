#include <utf8proc.h>

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "text/normalizer.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

constexpr char32_t kFirstChangeable = 0x300;  // below it, NFC changes nothing
constexpr char32_t kLastChangeable = 0x2FFFF;

struct CodeRange {
  char32_t first, last;
};

#include "text/normal_form_later_ranges.inc"

// Whether `tokenizers` takes the code point for an unassigned one: it stands where it is, whatever
// newer tables say.
bool is_later(char32_t c) {
  if (c < kFirstChangeable) return false;
  const auto* after = std::upper_bound(
      std::begin(kLaterRanges), std::end(kLaterRanges), c,
      [](char32_t code, const CodeRange& range) { return code < range.first; });
  return after != std::begin(kLaterRanges) && c <= (after - 1)->last;
}

int combining_class(utf8proc_int32_t c) {
  return static_cast<int>(utf8proc_get_property(c)->combining_class);
}

void append_decomposed(std::vector<utf8proc_int32_t>& out, char32_t c, bool compatible) {
  utf8proc_int32_t parts[32];
  const int options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  int boundclass = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32,
                                             static_cast<utf8proc_option_t>(options), &boundclass);
  CHECK(count >= 0 && count <= 32, "U+{:04X} decomposes into {}", static_cast<uint32_t>(c), count);
  out.insert(out.end(), parts, parts + count);
}

// Canonical ordering: each run of marks by combining class, equal ones in place.
void order_marks(std::vector<utf8proc_int32_t>& chars) {
  for (size_t i = 0; i < chars.size(); ++i) {
    if (combining_class(chars[i]) == 0) continue;
    size_t end = i + 1;
    while (end < chars.size() && combining_class(chars[end]) != 0) ++end;
    std::stable_sort(chars.begin() + static_cast<std::ptrdiff_t>(i),
                     chars.begin() + static_cast<std::ptrdiff_t>(end),
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

bool is_conjoining_jamo(char32_t c) { return c >= 0x1160 && c <= 0x11FF; }

// Only a canonical decomposition can make NFC change a lone character.
bool may_decompose(char32_t c) {
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
  return property->decomp_type == 0 && property->decomp_seqindex != UINT16_MAX;
}

bool changes_or_joins(char32_t c) {
  if ((CharClasses::get().of(c) & kMark) != 0 || is_conjoining_jamo(c)) return true;
  if (combining_class(static_cast<utf8proc_int32_t>(c)) != 0) return true;
  if (!may_decompose(c)) return false;
  std::string text;
  utf8_append(text, c);
  return normal_form(text, NormalForm::kNfc) != text;
}

// By code point from kFirstChangeable to kLastChangeable: changes_or_joins(). Made once.
const std::vector<bool>& changeable() {
  static const std::vector<bool> table = [] {
    std::vector<bool> made(kLastChangeable + 1 - kFirstChangeable);
    for (char32_t c = kFirstChangeable; c <= kLastChangeable; ++c) {
      if (c < 0xD800 || c > 0xDFFF) made[c - kFirstChangeable] = changes_or_joins(c);
    }
    return made;
  }();
  return table;
}

// NFC of a text is the text itself where no character may change or join the one before it.
class NfcStep : public NormalizerStep {
 public:
  void apply(std::string& text) const override {
    std::string out;
    size_t copied = 0;  // of `text`, in `out`
    size_t before = 0;  // where the last character that stands for itself begins
    for (size_t pos = 0; pos < text.size();) {
      const DecodedChar c = decode_valid_utf8(text.data() + pos);
      if (!may_change(c.code)) {
        before = pos;
        pos += c.length;
        continue;
      }
      const size_t end = end_of_changes(text, pos);
      const size_t begin = std::max(before, copied);
      out.append(text, copied, begin - copied);
      out += normal_form(std::string_view(text).substr(begin, end - begin), NormalForm::kNfc);
      copied = before = pos = end;
    }
    if (copied == 0) return;
    out.append(text, copied);
    text = std::move(out);
  }

 private:
  bool may_change(char32_t c) const {
    return c >= kFirstChangeable && c <= kLastChangeable && may_change_[c - kFirstChangeable];
  }
  size_t end_of_changes(std::string_view text, size_t pos) const {
    while (pos < text.size()) {
      const DecodedChar c = decode_valid_utf8(text.data() + pos);
      if (!may_change(c.code)) break;
      pos += c.length;
    }
    return pos;
  }

  const std::vector<bool>& may_change_ = changeable();
};

class NormalFormStep : public NormalizerStep {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  void apply(std::string& text) const override { text = normal_form(text, form_); }

 private:
  NormalForm form_;
};

void append_normal_form(std::string& out, std::string_view text, NormalForm form) {
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool composed = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) {
    const DecodedChar c = decode_valid_utf8(text.data() + pos);
    append_decomposed(chars, c.code, compatible);
    pos += c.length;
  }
  order_marks(chars);
  auto count = static_cast<utf8proc_ssize_t>(chars.size());
  if (composed) {
    count = utf8proc_normalize_utf32(
        chars.data(), count, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  }
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    utf8_append(out, static_cast<char32_t>(chars[static_cast<size_t>(i)]));
  }
}

}  // namespace

std::string normal_form(std::string_view text, NormalForm form) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (size_t pos = 0; pos < text.size();) {
    const DecodedChar c = decode_valid_utf8(text.data() + pos);
    if (is_later(c.code)) {
      append_normal_form(out, text.substr(done, pos - done), form);
      out.append(text, pos, c.length);
      done = pos + c.length;
    }
    pos += c.length;
  }
  append_normal_form(out, text.substr(done), form);
  return out;
}

std::unique_ptr<NormalizerStep> make_normal_form(NormalForm form) {
  if (form == NormalForm::kNfc) return std::make_unique<NfcStep>();
  return std::make_unique<NormalFormStep>(form);
}

}  // namespace lmdeploy
