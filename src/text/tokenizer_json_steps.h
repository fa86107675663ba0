// The normalizer, pre_tokenizer and decoder sections of tokenizer.json.
#pragma once

#include "base/json.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

// Each takes the section's value (nullptr where it is absent or null) and fills `parts`. A step that
// this version does not know is kUnsupported by name.
Status read_normalizer(const json::value* section, TokenizerParts& parts);

// `byte_level`: whether the last step maps bytes to the byte-level alphabet.
Status read_pre_tokenizer(const json::value* section, TokenizerParts& parts, bool& byte_level);

// Reads parts.pieces: they must be complete.
Status read_decoder(const json::value* section, TokenizerParts& parts);

// The object of a section that must be one, and the text of its "type".
Result<const json::object*> step_object(const json::value& value, std::string_view what);
Result<std::string> required_string(const json::object& object, std::string_view key);

}  // namespace lmdeploy
