// The decoder section of tokenizer.json, compiled to what each piece contributes.
#include <utility>

#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/tokenizer_json_steps.h"

namespace lmdeploy {

namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t pos = 0;
  for (size_t at; (at = text.find(from, pos)) != std::string_view::npos; pos = at + from.size()) {
    out.append(text.substr(pos, at - pos)).append(to);
  }
  return out.append(text.substr(pos));
}

// Up to `start` times `c` off the front and `stop` times off the back.
std::string strip(std::string text, char c, int64_t start, int64_t stop) {
  size_t begin = 0, end = text.size();
  for (; start > 0 && begin < end && text[begin] == c; --start) ++begin;
  for (; stop > 0 && end > begin && text[end - 1] == c; --stop) --end;
  return text.substr(begin, end - begin);
}

// The steps seen so far and what they make of every piece.
class DecoderBuilder {
 public:
  explicit DecoderBuilder(TokenizerParts& parts)
      : parts_(parts), texts_(parts.pieces), first_(parts.pieces.size()), bytes_(parts.pieces.size()) {}

  Status add(const json::object& step) {
    ASSIGN_OR_RETURN(const std::string type, required_string(step, "type"));
    if (type == "Fuse") {
      fused_ = true;
      return {};
    }
    if (type == "Strip") return add_strip(step);
    if (fused_ || byte_level_ || (byte_fallback_ && type != "Metaspace")) {
      return unsupported("the decoder '{}' comes after one that must be the last but for Fuse and "
                         "Strip", type);
    }
    if (type == "ByteLevel") return add_byte_level();
    if (type == "ByteFallback") return add_byte_fallback();
    if (type == "Replace") return add_replace(step);
    if (type == "Metaspace") return add_metaspace(step);
    return unsupported("the decoder '{}' is not in this version", type);
  }

  void finish() {
    parts_.decoder.mode = byte_level_ ? TokenDecoder::Mode::kBytes : TokenDecoder::Mode::kText;
    for (size_t id = 0; id < texts_.size(); ++id) {
      parts_.decoder.add(texts_[id], bytes_[id], std::move(first_[id]));
    }
  }

 private:
  Status add_byte_level() {
    byte_level_ = true;
    for (std::string& text : texts_) text = byte_level_bytes(text).value_or(text);
    return {};
  }

  Status add_byte_fallback() {
    byte_fallback_ = true;
    for (size_t id = 0; id < texts_.size(); ++id) bytes_[id] = byte_of_piece(texts_[id]);
    return {};
  }

  Status add_replace(const json::object& step) {
    const json::value* pattern = find(step, "pattern");
    if (pattern == nullptr || !pattern->is_object()) {
      return invalid_argument("a Replace decoder has no 'pattern'");
    }
    ASSIGN_OR_RETURN(const auto from, get_string(pattern->get_object(), "String"));
    ASSIGN_OR_RETURN(const std::string to, required_string(step, "content"));
    if (!from || from->empty()) {
      return unsupported("a Replace decoder whose pattern is not a {{\"String\": ...}}");
    }
    for (std::string& text : texts_) text = replace_all(text, *from, to);
    return {};
  }

  Status add_strip(const json::object& step) {
    ASSIGN_OR_RETURN(const std::string content, required_string(step, "content"));
    ASSIGN_OR_RETURN(const auto start, get_int(step, "start"));
    ASSIGN_OR_RETURN(const auto stop, get_int(step, "stop"));
    if (content.size() != 1 || start.value_or(0) < 0 || stop.value_or(0) < 0) {
      return unsupported("a Strip decoder of '{}', {} and {} times; expected one ASCII character",
                         content, start.value_or(0), stop.value_or(0));
    }
    if (!fused_ && !byte_level_ && !byte_fallback_) {
      for (std::string& text : texts_) {
        text = strip(text, content[0], start.value_or(0), stop.value_or(0));
      }
      return {};
    }
    if (!fused_ || byte_level_ || stop.value_or(0) != 0 || parts_.decoder.max_stripped != 0) {
      return unsupported("a Strip decoder is supported before the others, or once after Fuse for "
                         "the front of the text");
    }
    parts_.decoder.strip = content[0];
    parts_.decoder.max_stripped = static_cast<size_t>(start.value_or(0));
    return {};
  }

  // Its replacement stands for a space; in the first piece for nothing, unless it is never put there.
  Status add_metaspace(const json::object& step) {
    ASSIGN_OR_RETURN(const std::string replacement, required_string(step, "replacement"));
    ASSIGN_OR_RETURN(const auto scheme, get_string(step, "prepend_scheme"));
    ASSIGN_OR_RETURN(const auto prefix, get_bool(step, "add_prefix_space"));
    if (replacement.empty()) return invalid_argument("the Metaspace replacement is empty");
    const bool never = scheme ? *scheme == "never" : !prefix.value_or(true);
    for (size_t id = 0; id < texts_.size(); ++id) {
      if (!never) first_[id] = replace_all(texts_[id], replacement, "");
      texts_[id] = replace_all(texts_[id], replacement, " ");
    }
    return {};
  }

  TokenizerParts& parts_;
  std::vector<std::string> texts_;
  std::vector<std::optional<std::string>> first_;
  std::vector<std::optional<uint8_t>> bytes_;
  bool byte_level_ = false, byte_fallback_ = false, fused_ = false;
};

Status add_steps(const json::value& value, DecoderBuilder& builder) {
  ASSIGN_OR_RETURN(const json::object* step, step_object(value, "decoder"));
  ASSIGN_OR_RETURN(const std::string type, required_string(*step, "type"));
  if (type != "Sequence") return builder.add(*step);
  const json::value* members = find(*step, "decoders");
  if (members == nullptr || !members->is_array()) {
    return invalid_argument("a Sequence in 'decoder' has no list 'decoders'");
  }
  for (const json::value& member : members->get_array()) RETURN_IF_ERROR(add_steps(member, builder));
  return {};
}

}  // namespace

Status read_decoder(const json::value* section, TokenizerParts& parts) {
  if (section == nullptr) {
    parts.decoder.mode = TokenDecoder::Mode::kSpaced;
    for (const std::string& piece : parts.pieces) parts.decoder.add(piece);
    return {};
  }
  DecoderBuilder builder(parts);
  RETURN_IF_ERROR(add_steps(*section, builder));
  builder.finish();
  return {};
}

}  // namespace lmdeploy
