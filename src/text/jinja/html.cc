#include "text/jinja/html.h"

#include <utility>

#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

// Cuts everything from `open` to the next `close`, as often as both occur.
std::string without_spans(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  while (true) {
    const size_t begin = text.find(open);
    if (begin == std::string_view::npos) break;
    const size_t end = text.find(close, begin);
    if (end == std::string_view::npos) break;
    out += text.substr(0, begin);
    text.remove_prefix(end + close.size());
  }
  out += text;
  return out;
}

std::string collapse_space(std::string_view text) {
  std::string out;
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  while (!text.empty()) {
    const size_t space = leading_space(text);
    if (space > 0) {
      out += ' ';
      text.remove_prefix(space);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

std::string unescape_html(std::string_view text) {
  static constexpr std::pair<std::string_view, char> kReferences[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&#39;", '\''}, {"&#34;", '"'}, {"&quot;", '"'}};
  std::string out;
  while (!text.empty()) {
    size_t taken = 1;
    char c = text[0];
    for (const auto& [reference, meaning] : kReferences) {
      if (!text.starts_with(reference)) continue;
      taken = reference.size();
      c = meaning;
    }
    out += c;
    text.remove_prefix(taken);
  }
  return out;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string strip_tags(std::string_view text) {
  const std::string plain = without_spans(without_spans(text, "<!--", "-->"), "<", ">");
  return unescape_html(collapse_space(plain));
}

}  // namespace lmdeploy::jinja
