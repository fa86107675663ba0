// Text as Python sees it: lengths and positions in code points, Unicode white space and case,
// repr() of strings and floats. All text is valid UTF-8 (invalid bytes count as U+FFFD).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "base/status.h"

namespace lmdeploy::jinja {

int64_t code_point_count(std::string_view text);
std::vector<char32_t> code_points(std::string_view text);
std::string from_code_points(const std::vector<char32_t>& points);
// Byte offset of the code point number `index`; the size of the text when there are fewer.
size_t byte_offset(std::string_view text, int64_t index);

// Byte offset of the last code point of `text`, which is not empty.
size_t last_character(std::string_view text);

// str.isspace() of one code point.
bool is_space(char32_t point);
// Bytes of white space at the front and at the back.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);
// Bytes before the first white space, and after the last.
size_t leading_word(std::string_view text);
size_t trailing_word(std::string_view text);

bool is_upper(char32_t point);
bool is_lower(char32_t point);
bool is_title(char32_t point);
bool is_letter(char32_t point);
bool is_decimal(char32_t point);
bool is_alphanumeric(char32_t point);
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);
// str.title(): a letter after a non-letter is upper case, other letters lower case.
std::string title_case(std::string_view text);

// Visits what str.splitlines() gives; the first failed Status ends it.
Status for_each_line(std::string_view text, bool keep_ends,
                     FunctionRef<Status(std::string_view)> visit);

// repr(): 'it' with escapes, double quotes when that saves some.
std::string python_repr(std::string_view text);
// repr(): the shortest digits that give the same number; "1.0", "1e+16", "inf", "nan".
std::string python_repr(double number);

// Content of a string literal with its backslash escapes resolved.
Result<std::string> unescape(std::string_view text);

// int(text, base) and float(text): surrounding white space and single underscores allowed.
std::optional<int64_t> parse_integer(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

}  // namespace lmdeploy::jinja
