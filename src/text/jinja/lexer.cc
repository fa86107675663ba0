#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name_byte(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// "\r\n" and "\r" become "\n"; one newline at the very end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  Lexer(std::string_view source, size_t max_tokens)
      : source_(normalize_newlines(source)), max_tokens_(max_tokens) {}

  Result<std::vector<Token>> run() {
    while (pos_ < source_.size()) {
      RETURN_IF_ERROR(check_count());
      RETURN_IF_ERROR(lex_root());
    }
    add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(pos_); }
  bool at(std::string_view text) const { return rest().starts_with(text); }

  void advance(size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(pos_),
                                         source_.begin() + static_cast<ptrdiff_t>(pos_ + bytes),
                                         '\n'));
    pos_ += bytes;
  }

  void skip_space() { advance(leading_space(rest())); }

  Status fail(std::string_view message) const {
    return invalid_argument("line {}: {}", line_, message);
  }

  Status check_count() const {
    if (tokens_.size() <= max_tokens_) return {};
    return fail(fmt::format("the template has more than {} tokens", max_tokens_));
  }

  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }

  // Text up to the next tag, then that tag.
  Status lex_root() {
    const size_t tag = find_tag();
    if (tag == std::string::npos) {
      add(TokenKind::kData, std::string(rest()));
      advance(rest().size());
      return {};
    }
    const char type = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    emit_data(rest().substr(0, tag - pos_), sign, type != '{');
    advance(tag - pos_);
    const size_t raw = type == '%' ? raw_tag(pos_, "raw") : 0;
    if (raw > 0) return lex_raw(raw);
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (type == '#') return skip_comment();
    return lex_tag(type == '%');
  }

  size_t find_tag() const {
    for (size_t i = source_.find('{', pos_); i != std::string::npos; i = source_.find('{', i + 1)) {
      if (i + 1 >= source_.size()) return std::string::npos;
      if (source_[i + 1] == '%' || source_[i + 1] == '{' || source_[i + 1] == '#') return i;
    }
    return std::string::npos;
  }

  // "-" removes all space before the tag; otherwise a block or comment that starts its line loses
  // its indentation, unless marked "+".
  void emit_data(std::string_view text, char sign, bool may_lstrip) {
    if (sign == '-') {
      text = text.substr(0, text.size() - trailing_space(text));
    } else if (sign != '+' && may_lstrip) {
      const size_t newline = text.rfind('\n');
      const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view indent = text.substr(line_start);
      if ((line_start > 0 || at_line_start_) && leading_space(indent) == indent.size()) {
        text = text.substr(0, line_start);
      }
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  // Length of "{% raw %}" (or endraw) at `start`, with the space and the newline that it takes;
  // 0 when it is none.
  size_t raw_tag(size_t start, std::string_view word) const {
    const std::string_view text = std::string_view(source_).substr(start);
    if (!text.starts_with("{%")) return 0;
    size_t i = 2;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    i += leading_space(text.substr(i));
    if (!text.substr(i).starts_with(word)) return 0;
    i += word.size();
    i += leading_space(text.substr(i));
    const std::string_view end = text.substr(i);
    if (end.starts_with("-%}")) return i + 3 + leading_space(end.substr(3));
    const bool is_end = word == "endraw";
    if (end.starts_with("%}")) return i + 2 + (is_end && end.substr(2).starts_with("\n") ? 1 : 0);
    return is_end && end.starts_with("+%}") ? i + 3 : 0;
  }

  Status lex_raw(size_t begin_bytes) {
    consume(begin_bytes);
    for (size_t i = source_.find("{%", pos_); i != std::string::npos;
         i = source_.find("{%", i + 1)) {
      const size_t end_bytes = raw_tag(i, "endraw");
      if (end_bytes == 0) continue;
      emit_data(rest().substr(0, i - pos_), i + 2 < source_.size() ? source_[i + 2] : '\0', true);
      advance(i - pos_);
      consume(end_bytes);
      return {};
    }
    return fail("{% raw %} has no {% endraw %}");
  }

  // Takes `bytes`, remembering whether the next text starts a line.
  void consume(size_t bytes) {
    advance(bytes);
    at_line_start_ = bytes > 0 && source_[pos_ - 1] == '\n';
  }

  // Bytes of the end of a block or comment here ("%}", "-%}" with the space after it, "+%}"),
  // 0 if there is none. A newline right after an unsigned end belongs to it.
  size_t block_end(std::string_view end) const {
    const std::string_view text = rest();
    if (text.starts_with("+") && text.substr(1).starts_with(end)) return 1 + end.size();
    if (text.starts_with("-") && text.substr(1).starts_with(end)) {
      return 1 + end.size() + leading_space(text.substr(1 + end.size()));
    }
    if (!text.starts_with(end)) return 0;
    return end.size() + (text.substr(end.size()).starts_with("\n") ? 1 : 0);
  }

  size_t variable_end() const {
    const std::string_view text = rest();
    if (text.starts_with("-}}")) return 3 + leading_space(text.substr(3));
    return text.starts_with("}}") ? 2 : 0;
  }

  Status skip_comment() {
    const int line = line_;
    const size_t close = source_.find("#}", pos_);
    if (close == std::string::npos) {
      return invalid_argument("line {}: a comment has no end ('#}}')", line);
    }
    size_t end = close;
    if (end > pos_ && (source_[end - 1] == '-' || source_[end - 1] == '+')) --end;
    advance(end - pos_);
    consume(block_end("#}"));
    return {};
  }

  Status lex_tag(bool is_block) {
    add(is_block ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, {});
    std::vector<char> open;
    const int line = line_;
    while (pos_ < source_.size()) {
      if (open.empty()) {
        const size_t end = is_block ? block_end("%}") : variable_end();
        if (end > 0) {
          add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, {});
          consume(end);
          return {};
        }
      }
      if (leading_space(rest()) > 0) {
        skip_space();
        continue;
      }
      RETURN_IF_ERROR(lex_expression_token(open));
    }
    return invalid_argument("line {}: a tag has no end ('{}')", line, is_block ? "%}" : "}}");
  }

  Status lex_expression_token(std::vector<char>& open) {
    RETURN_IF_ERROR(check_count());
    const char c = source_[pos_];
    if (is_digit(c)) return lex_number();
    if (is_name_byte(c)) return lex_name();
    if (c == '"' || c == '\'') return lex_string(c);
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      RETURN_IF_ERROR(balance(op[0], open));
      add(TokenKind::kOperator, std::string(op));
      advance(op.size());
      return {};
    }
    return fail(fmt::format("unexpected character {}", python_repr(rest().substr(0, 1))));
  }

  Status balance(char c, std::vector<char>& open) const {
    if (c == '(' || c == '[' || c == '{') {
      open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) return fail(fmt::format("unexpected '{}'", c));
      if (open.back() != c) return fail(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    return {};
  }

  Status lex_name() {
    size_t end = pos_;
    while (end < source_.size() && is_name_byte(source_[end])) ++end;
    const std::string name = source_.substr(pos_, end - pos_);
    if (!utf8_valid(name)) return fail("invalid UTF-8 in a name");
    add(TokenKind::kName, name);
    advance(end - pos_);
    return {};
  }

  // Digits with single underscores between them, from `start`.
  size_t digits_end(size_t start, int base) const {
    size_t i = start;
    const auto is_one = [&](size_t at) {
      if (at >= source_.size()) return false;
      const char c = static_cast<char>(source_[at] | 0x20);
      const int digit = is_digit(source_[at]) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
      return digit < base;
    };
    while (is_one(i) || (i > start && source_[i] == '_' && is_one(i + 1))) ++i;
    return i;
  }

  Status lex_number() {
    if (source_[pos_] == '0' && pos_ + 1 < source_.size()) {
      const char prefix = static_cast<char>(source_[pos_ + 1] | 0x20);
      const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
      if (base != 0 && digits_end(pos_ + 2, base) > pos_ + 2) {
        return add_integer(pos_ + 2, digits_end(pos_ + 2, base), base);
      }
    }
    const size_t whole = digits_end(pos_, 10);
    const bool after_dot = pos_ > 0 && source_[pos_ - 1] == '.';
    size_t end = whole;
    if (!after_dot && end < source_.size() && source_[end] == '.' && digits_end(end + 1, 10) > end + 1) {
      end = digits_end(end + 1, 10);
    }
    if (!after_dot && end < source_.size() && (source_[end] | 0x20) == 'e') {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
        ++exponent;
      }
      if (digits_end(exponent, 10) > exponent) end = digits_end(exponent, 10);
    }
    return end > whole ? add_float(end) : add_integer(pos_, whole, 10);
  }

  std::string without_underscores(size_t begin, size_t end) const {
    std::string digits = source_.substr(begin, end - begin);
    std::erase(digits, '_');
    return digits;
  }

  Status add_integer(size_t begin, size_t end, int base) {
    const std::string digits = without_underscores(begin, end);
    if (base == 10 && digits.size() > 1 && digits[0] == '0' &&
        digits.find_first_not_of('0') != std::string::npos) {
      return fail(fmt::format("the number {} starts with a zero", digits));
    }
    Token token{TokenKind::kInteger, line_, digits};
    const auto parsed =
        std::from_chars(digits.data(), digits.data() + digits.size(), token.integer, base);
    if (parsed.ec != std::errc()) return fail(fmt::format("the number {} exceeds 64 bits", digits));
    tokens_.push_back(std::move(token));
    advance(end - pos_);
    return {};
  }

  Status add_float(size_t end) {
    Token token{TokenKind::kFloat, line_, without_underscores(pos_, end)};
    const auto parsed =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), token.real);
    if (parsed.ec != std::errc()) {
      return fail(fmt::format("the number {} is out of range", token.text));
    }
    tokens_.push_back(std::move(token));
    advance(end - pos_);
    return {};
  }

  Status lex_string(char quote) {
    size_t end = pos_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail("a string has no closing quote");
    Result<std::string> text = unescape(std::string_view(source_).substr(pos_ + 1, end - pos_ - 1));
    if (!text.ok()) return fail(text.status().message());
    add(TokenKind::kString, *std::move(text));
    advance(end + 1 - pos_);
    return {};
  }

  std::string source_;
  size_t max_tokens_;
  size_t pos_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, size_t max_tokens) {
  return Lexer(source, max_tokens).run();
}

}  // namespace lmdeploy::jinja
