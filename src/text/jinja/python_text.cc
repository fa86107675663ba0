#include "text/jinja/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"

namespace lmdeploy::jinja {

namespace {

utf8proc_category_t category(char32_t point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

// Full upper-case mappings that are longer than one code point and occur in real text.
const char* special_upper(char32_t point) {
  switch (point) {
    case 0x00DF: return "SS";
    case 0x0149: return "\xCA\xBCN";
    case 0xFB00: return "FF";
    case 0xFB01: return "FI";
    case 0xFB02: return "FL";
    case 0xFB03: return "FFI";
    case 0xFB04: return "FFL";
    case 0xFB05:
    case 0xFB06: return "ST";
    default: return nullptr;
  }
}

void append_upper(std::string& out, char32_t point) {
  if (const char* special = special_upper(point)) {
    out += special;
  } else {
    utf8_append(out, static_cast<char32_t>(utf8proc_toupper(static_cast<int32_t>(point))));
  }
}

void append_title(std::string& out, char32_t point) {
  if (const char* special = special_upper(point)) {
    out += special[0];
    for (const char* c = special + 1; *c != '\0'; ++c) out += static_cast<char>(*c | 0x20);
  } else {
    utf8_append(out, static_cast<char32_t>(utf8proc_totitle(static_cast<int32_t>(point))));
  }
}

// A capital sigma at the end of a word becomes the final form.
bool final_sigma(const std::vector<char32_t>& points, size_t i) {
  return i > 0 && is_letter(points[i - 1]) && (i + 1 == points.size() || !is_letter(points[i + 1]));
}

void append_lower(std::string& out, const std::vector<char32_t>& points, size_t i) {
  if (points[i] == 0x03A3 && final_sigma(points, i)) {
    utf8_append(out, 0x03C2);
  } else if (points[i] == 0x0130) {
    out += "i\xCC\x87";
  } else {
    utf8_append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(points[i]))));
  }
}

bool is_printable(char32_t point) {
  switch (category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return point == ' ';
    default: return true;
  }
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Value of `digits` hexadecimal (or octal) digits at text[pos]; advances. nullopt: not so many.
std::optional<char32_t> read_code(std::string_view text, size_t& pos, size_t digits) {
  uint32_t code = 0;
  if (text.size() - pos < digits) return std::nullopt;
  const auto read = std::from_chars(text.data() + pos, text.data() + pos + digits, code, 16);
  if (read.ptr != text.data() + pos + digits) return std::nullopt;
  pos += digits;
  return code;
}

std::optional<char> simple_escape(char c) {
  switch (c) {
    case '\\': return '\\';
    case '\'': return '\'';
    case '"': return '"';
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    default: return std::nullopt;
  }
}

std::string_view stripped(std::string_view text) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  return text;
}

// Without single underscores between digits; nullopt when one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
    if (i == 0 || i + 1 == text.size() || !alnum(text[i - 1]) || !alnum(text[i + 1])) {
      return std::nullopt;
    }
  }
  return digits;
}

}  // namespace

int64_t code_point_count(std::string_view text) {
  int64_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) {
    if (static_cast<unsigned char>(text[pos]) < 0x80) {
      ++pos;
    } else {
      utf8_next(text, pos);
    }
  }
  return count;
}

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> points;
  points.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) points.push_back(utf8_next(text, pos));
  return points;
}

std::string from_code_points(const std::vector<char32_t>& points) {
  std::string text;
  text.reserve(points.size());
  for (const char32_t point : points) utf8_append(text, point);
  return text;
}

size_t byte_offset(std::string_view text, int64_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) utf8_next(text, pos);
  return pos;
}

size_t last_character(std::string_view text) {
  size_t start = text.size() - 1;
  while (start > 0 && text.size() - start < 4 &&
         (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) {
    --start;
  }
  size_t pos = start;
  utf8_next(text, pos);
  return pos == text.size() ? start : text.size() - 1;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

namespace {

// Bytes at the front and at the back whose characters are all white space, or all none.
size_t leading_run(std::string_view text, bool space) {
  size_t pos = 0;
  while (pos < text.size()) {
    size_t next = pos;
    if (is_space(utf8_next(text, next)) != space) break;
    pos = next;
  }
  return pos;
}

size_t trailing_run(std::string_view text, bool space) {
  size_t end = text.size();
  while (end > 0) {
    const size_t start = last_character(text.substr(0, end));
    size_t pos = start;
    if (is_space(utf8_next(text, pos)) != space) break;
    end = start;
  }
  return text.size() - end;
}

}  // namespace

size_t leading_space(std::string_view text) { return leading_run(text, true); }
size_t trailing_space(std::string_view text) { return trailing_run(text, true); }
size_t leading_word(std::string_view text) { return leading_run(text, false); }
size_t trailing_word(std::string_view text) { return trailing_run(text, false); }

bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<int32_t>(c)) != 0; }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<int32_t>(c)) != 0; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_letter(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_alphanumeric(char32_t c) {
  const utf8proc_category_t kind = category(c);
  return is_letter(c) || (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO);
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) append_upper(out, utf8_next(text, pos));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const std::vector<char32_t> points = code_points(text);
  for (size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  const std::vector<char32_t> points = code_points(text);
  if (points.empty()) return out;
  append_title(out, points[0]);
  for (size_t i = 1; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string title_case(std::string_view text) {
  std::string out;
  const std::vector<char32_t> points = code_points(text);
  bool in_word = false;
  for (size_t i = 0; i < points.size(); ++i) {
    if (in_word) {
      append_lower(out, points, i);
    } else {
      append_title(out, points[i]);
    }
    in_word = is_upper(points[i]) || is_lower(points[i]) || is_title(points[i]);
  }
  return out;
}

Status for_each_line(std::string_view text, bool keep_ends,
                     FunctionRef<Status(std::string_view)> visit) {
  size_t start = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = pos;
    const char32_t c = utf8_next(text, pos);
    if (!is_line_end(c)) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    RETURN_IF_ERROR(visit(text.substr(start, (keep_ends ? pos : end) - start)));
    start = pos;
  }
  return start < text.size() ? visit(text.substr(start)) : Status();
}

std::string python_repr(std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = utf8_next(text, pos);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0x100 && !is_printable(c))) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x80 || is_printable(c)) {
      out.append(text.substr(start, pos - start));
    } else {
      out += fmt::format(fmt::runtime(c < 0x10000 ? "\\u{:04x}" : "\\U{:08x}"),
                         static_cast<uint32_t>(c));
    }
  }
  out += quote;
  return out;
}

std::string python_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific);
  const std::string scientific(buffer, end.ptr);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}e{}{:02d}", scientific.substr(0, e), exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  const auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::fixed);
  std::string text(buffer, fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i++];
      continue;
    }
    const char c = text[i + 1];
    i += 2;
    if (c == '\n') continue;
    if (const std::optional<char> simple = simple_escape(c)) {
      out += *simple;
    } else if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int n = 0; n < 2 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++n) {
        code = code * 8 + static_cast<char32_t>(text[i++] - '0');
      }
      utf8_append(out, code);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::optional<char32_t> code = read_code(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8);
      if (!code || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
        return invalid_argument("a string has a broken \\{} escape", c);
      }
      utf8_append(out, *code);
    } else if (c == 'N') {
      return invalid_argument("a string has a \\N escape, which is not supported");
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = stripped(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char prefix = static_cast<char>(text[1] | 0x20);
    const int named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  const std::optional<std::string> digits = without_underscores(text);
  if (!digits || digits->empty() || (*digits)[0] == '-') return std::nullopt;
  if (base == 0) {
    if ((*digits)[0] == '0' && digits->find_first_not_of('0') != std::string::npos) return std::nullopt;
    base = 10;
  }
  if (base < 2 || base > 36) return std::nullopt;
  const std::string whole = (negative ? "-" : "") + *digits;
  int64_t number = 0;
  const auto read = std::from_chars(whole.data(), whole.data() + whole.size(), number, base);
  if (read.ec != std::errc() || read.ptr != whole.data() + whole.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_float(std::string_view text) {
  const std::optional<std::string> plain = without_underscores(stripped(text));
  if (!plain || plain->empty()) return std::nullopt;
  std::string_view rest = *plain;
  const bool negative = rest[0] == '-';
  if (negative || rest[0] == '+') rest.remove_prefix(1);
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  double number = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (read.ptr != rest.data() + rest.size() || rest.back() == ')') return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) {
    number = rest.find("e-") != std::string_view::npos ? 0 : HUGE_VAL;
  } else if (read.ec != std::errc()) {
    return std::nullopt;
  }
  return negative ? -number : number;
}

}  // namespace lmdeploy::jinja
