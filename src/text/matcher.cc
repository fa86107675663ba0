#include "text/matcher.h"

#include <pcre2.h>

#include "text/scratch_pool.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

class LiteralMatcher : public Matcher {
 public:
  explicit LiteralMatcher(std::string text) : text_(std::move(text)) {}
  bool next(std::string_view text, size_t from, Match& match) const override {
    const size_t at = text.find(text_, from);
    if (at == std::string_view::npos) return false;
    match = {at, at + text_.size()};
    return true;
  }

 private:
  std::string text_;
};

// White_Space and the word characters as Oniguruma, the engine of `tokenizers`, has them; PCRE2
// counts U+180E as space and no marks as word characters.
constexpr std::string_view kSpaceItems =
    R"(\t-\r \x{85}\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWordItems = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9})";

// The items of a class escape, with `negated` for \S and \W; empty for any other escape.
std::string_view class_items(char escape, bool& negated) {
  negated = escape == 'S' || escape == 'W';
  if (escape == 's' || escape == 'S') return kSpaceItems;
  if (escape == 'w' || escape == 'W') return kWordItems;
  return {};
}

// `regex` in Oniguruma's syntax, for PCRE2.
std::string to_pcre2(std::string_view regex) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      bool negated = false;
      const std::string_view items = class_items(regex[++i], negated);
      if (items.empty() || (negated && in_class)) {
        out.append({c, regex[i]});
      } else if (in_class) {
        out += items;
      } else {
        out.append(negated ? "[^" : "[").append(items).append("]");
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

// What one search writes to.
class MatchData {
 public:
  MatchData() : data_(pcre2_match_data_create(1, nullptr)) {}
  ~MatchData() { pcre2_match_data_free(data_); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  pcre2_match_data* get() const { return data_; }

 private:
  pcre2_match_data* data_;
};

class RegexMatcher : public Matcher {
 public:
  explicit RegexMatcher(pcre2_code* code) : code_(code) {
    // Without JIT (a platform that forbids executable memory) the interpreter does the same.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  }

  bool next(std::string_view text, size_t from, Match& match) const override {
    ScratchPool<MatchData>::Lease data(pool_);
    while (from <= text.size()) {
      if (!search(text, from, data->get())) return false;
      const size_t* ends = pcre2_get_ovector_pointer(data->get());
      match = {ends[0], ends[1]};
      if (match.end > match.begin || match.begin > from) return true;
      if (from == text.size()) return false;
      from += decode_valid_utf8(text.data() + from).length;
    }
    return false;
  }

 private:
  bool search(std::string_view text, size_t from, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int found = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data,
                            nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter's stack is the heap
      found = pcre2_match(code_.get(), subject, text.size(), from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, nullptr);
    }
    return found >= 0;
  }

  std::unique_ptr<pcre2_code, CodeDeleter> code_;
  mutable ScratchPool<MatchData> pool_;
};

}  // namespace

std::unique_ptr<Matcher> make_literal_matcher(std::string text) {
  return std::make_unique<LiteralMatcher>(std::move(text));
}

Result<std::unique_ptr<Matcher>> make_regex_matcher(const std::string& regex) {
  const std::string pattern = to_pcre2(regex);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return invalid_argument("the regex '{}' does not compile: {} (at byte {} of '{}')", regex,
                            reinterpret_cast<const char*>(message), offset, pattern);
  }
  return std::unique_ptr<Matcher>(std::make_unique<RegexMatcher>(code));
}

Result<std::unique_ptr<Matcher>> make_matcher(const std::string& regex) {
  if (auto known = make_known_matcher(regex)) return known;
  return make_regex_matcher(regex);
}

}  // namespace lmdeploy
