#include "text/sentencepiece_normalizer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/utf8.h"
#include "text/added_tokens.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

static_assert(std::endian::native == std::endian::little, "the trie is read as it lies");

constexpr std::string_view kMetaspace = "▁";
constexpr size_t kMaxCharsmapBytes = size_t{16} << 20;
constexpr size_t kMaxReplacementBytes = 128;
constexpr size_t kMaxRuleBytes = 256;

// Rules "longest prefix -> replacement": u32 size of a double-array trie of 32-bit units (Darts),
// the trie, replacements that end in NUL. A trie's value is the offset of its replacement.
class Charsmap {
 public:
  static Result<Charsmap> parse(std::string blob) {
    Charsmap map;
    if (blob.empty()) return map;
    uint32_t size = 0;
    if (blob.size() > sizeof(size)) std::memcpy(&size, blob.data(), sizeof(size));
    if (blob.size() > kMaxCharsmapBytes) {
      return data_loss("its precompiled_charsmap has {} bytes; at most {} are accepted", blob.size(),
                       kMaxCharsmapBytes);
    }
    if (size == 0 || size % 1024 != 0 || blob.size() - sizeof(size) <= size ||
        blob.back() != '\0') {
      return data_loss("its precompiled_charsmap of {} bytes is damaged: its trie says it has {}",
                       blob.size(), size);
    }
    map.units_.resize(size / sizeof(uint32_t));
    std::memcpy(map.units_.data(), blob.data() + sizeof(size), size);
    map.replacements_ = blob.substr(sizeof(size) + size);
    if (!utf8_valid(map.replacements_)) {
      return data_loss("its precompiled_charsmap has replacements that are no UTF-8");
    }
    for (size_t begin = 0; begin < map.replacements_.size();) {
      const size_t end = map.replacements_.find('\0', begin);
      if (end - begin > kMaxReplacementBytes) {
        return data_loss(
            "its precompiled_charsmap has a replacement of {} bytes; at most {} are accepted",
            end - begin, kMaxReplacementBytes);
      }
      begin = end + 1;
    }
    return map;
  }

  bool empty() const { return units_.empty(); }

  // What the longest rule at the front of `text` puts in its place; `length` is the rule's, 0 for
  // none. Rules that end within a character, and values that point into one, are passed over: what
  // comes of valid UTF-8 is valid.
  std::string_view find(std::string_view text, size_t& length) const {
    length = 0;
    if (units_.empty()) return {};
    size_t node = offset_of(units_[0]), value = 0;
    for (size_t i = 0; i < std::min(text.size(), kMaxRuleBytes); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (node >= units_.size() || label_of(units_[node]) != byte) break;
      const bool has_value = (units_[node] >> 8 & 1) != 0;
      node ^= offset_of(units_[node]);
      if (node >= units_.size()) break;
      const size_t here = units_[node] & 0x7FFFFFFF;
      if (!has_value || !begins_character(text, i + 1) || here >= replacements_.size() ||
          !begins_character(replacements_, here)) {
        continue;
      }
      length = i + 1;
      value = here;
    }
    return length == 0 ? std::string_view() : std::string_view(replacements_.data() + value);
  }

 private:
  static bool begins_character(std::string_view text, size_t at) {
    return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
  }
  static size_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }
  static uint32_t label_of(uint32_t unit) { return unit & (1u << 31 | 0xFF); }

  std::vector<uint32_t> units_;
  std::string replacements_;
};

class SentencepieceNormalizer : public NormalizerStep {
 public:
  SentencepieceNormalizer(SentencepieceNormalizerSpec spec, Charsmap rules,
                          const std::vector<std::string>& verbatim, bool prefix_everywhere)
      : spec_(std::move(spec)), rules_(std::move(rules)), prefix_everywhere_(prefix_everywhere) {
    for (const std::string& text : verbatim) verbatim_.add(text, {.id = 0, .content = text});
  }

  void apply(std::string& text) const override { normalize(text, true); }
  void apply_inside(std::string& text) const override { normalize(text, prefix_everywhere_); }

 private:
  std::string_view space() const { return spec_.escape_whitespaces ? kMetaspace : " "; }

  void normalize(std::string& text, bool prefix) const {
    std::string out;
    out.reserve(text.size() + text.size() / 4 + kMetaspace.size());
    bool after_space = spec_.remove_extra_whitespaces;  // here a space is one too many
    bool begun = false;
    prefix = prefix && spec_.add_dummy_prefix;
    each_part(text, [&](std::string_view part) {
      if (!begun && after_space && part == " ") return;
      if (!std::exchange(begun, true) && prefix && !spec_.whitespace_as_suffix) out += space();
      while (after_space && part.starts_with(' ')) part.remove_prefix(1);
      if (part.empty()) return;
      append(part, out);
      after_space = spec_.remove_extra_whitespaces && part.back() == ' ';
    });
    while (spec_.remove_extra_whitespaces && out.ends_with(space()))
      out.resize(out.size() - space().size());
    if (begun && prefix && spec_.whitespace_as_suffix) out += space();
    text = std::move(out);
  }

  void append(std::string_view part, std::string& out) const {
    for (size_t at; (at = part.find(' ')) != std::string_view::npos; part.remove_prefix(at + 1)) {
      out.append(part.substr(0, at)).append(space());
    }
    out += part;
  }

  // The text in order: what the rules make of it and, as it is, what they do not touch.
  template <class Sink>
  void each_part(std::string_view text, Sink sink) const {
    if (rules_.empty() && !spec_.remove_extra_whitespaces) {
      if (!text.empty()) sink(text);
      return;
    }
    verbatim_.split(text, [&](std::string_view piece, int32_t verbatim) {
      if (verbatim >= 0) {
        sink(piece);
        return;
      }
      while (!piece.empty()) {
        size_t length = 0;
        const std::string_view replacement = rules_.find(piece, length);
        if (length > 0) {
          sink(replacement);
        } else {
          length = decode_valid_utf8(piece.data()).length;
          sink(piece.substr(0, length));
        }
        piece.remove_prefix(length);
      }
    });
  }

  SentencepieceNormalizerSpec spec_;
  Charsmap rules_;
  TokenFinder verbatim_;
  bool prefix_everywhere_;
};

}  // namespace

Result<std::unique_ptr<NormalizerStep>> make_sentencepiece_normalizer(
    SentencepieceNormalizerSpec spec, const std::vector<std::string>& verbatim,
    bool prefix_everywhere) {
  ASSIGN_OR_RETURN(Charsmap rules, Charsmap::parse(std::move(spec.charsmap)));
  spec.charsmap.clear();
  return std::unique_ptr<NormalizerStep>(std::make_unique<SentencepieceNormalizer>(
      std::move(spec), std::move(rules), verbatim, prefix_everywhere));
}

}  // namespace lmdeploy
