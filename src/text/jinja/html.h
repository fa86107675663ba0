// HTML escaping, for the filters `escape`, `forceescape` and `striptags`.
#pragma once

#include <string>
#include <string_view>

namespace lmdeploy::jinja {

// & < > ' " as character references.
std::string escape_html(std::string_view text);
// Without comments and tags, white space collapsed, character references of escape_html() resolved.
std::string strip_tags(std::string_view text);

}  // namespace lmdeploy::jinja
