#include "text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_set>
#include <utility>

#include "text/template_file.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

constexpr size_t kMaxSpecial = 10000;  // additional special tokens; published files have 1,000

// Text of a token: a string, or {"content": ...}.
std::optional<std::string> token_text(const json::value* value) {
  if (value != nullptr && value->is_object()) value = find(value->get_object(), "content");
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

void add_special(TokenizerConfig& config, const std::optional<std::string>& text) {
  if (!text || text->empty()) return;
  if (std::ranges::find(config.special, *text) == config.special.end())
    config.special.push_back(*text);
}

// A string, or a list of {"name", "template"} of which "default" counts.
std::string chat_template_of(const json::object& config) {
  const json::value* value = find(config, "chat_template");
  if (value == nullptr) return {};
  if (value->is_string()) return std::string(value->get_string());
  if (!value->is_array()) return {};
  for (const json::value& entry : value->get_array()) {
    if (!entry.is_object() || token_text(find(entry.get_object(), "name")) != "default") continue;
    return token_text(find(entry.get_object(), "template")).value_or("");
  }
  return {};
}

Status check_count(size_t count) {
  if (static_cast<int64_t>(count) <= kMaxVocabulary) return {};
  return data_loss("it names more than {} added tokens", kMaxVocabulary);
}

// {"32000": {"content": ..., "special": ...}, ...}
Status read_added_decoder(const json::object& file, TokenizerConfig& config) {
  const json::value* decoder = find(file, "added_tokens_decoder");
  if (decoder == nullptr) return {};
  if (!decoder->is_object())
    return data_loss("'added_tokens_decoder' is not an object of id: token");
  RETURN_IF_ERROR(check_count(decoder->get_object().size()));
  for (const auto& [key, value] : decoder->get_object()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      return data_loss("'added_tokens_decoder' has the key '{}'; expected an id", shown_piece(key));
    }
    ASSIGN_OR_RETURN(AddedToken token, read_added_token(value, id));
    config.added.push_back(std::move(token));
  }
  return {};
}

Status read_ends(const json::object& file, TokenizerConfig& config) {
  if (const auto bos = token_text(find(file, "bos_token"))) config.bos.push_back(*bos);
  if (const auto eos = token_text(find(file, "eos_token"))) config.eos.push_back(*eos);
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    add_special(config, token_text(find(file, key)));
  }
  if (const json::value* more = find(file, "additional_special_tokens");
      more != nullptr && more->is_array()) {
    if (more->get_array().size() > kMaxSpecial) {
      return data_loss("it names more than {} additional special tokens", kMaxSpecial);
    }
    for (const json::value& token : more->get_array()) add_special(config, token_text(&token));
  }
  return {};
}

Status read_main(const json::object& file, TokenizerConfig& config) {
  RETURN_IF_ERROR(read_ends(file, config));
  if (config.chat_template.empty()) config.chat_template = chat_template_of(file);
  for (const auto& [key, target] : {std::pair("tokenizer_class", &config.tokenizer_class),
                                    {"name_or_path", &config.name_or_path}}) {
    ASSIGN_OR_RETURN(const auto text, get_string(file, key));
    *target = text.value_or("");
  }
  for (const auto& [key, target] : {std::pair("add_bos_token", &config.add_bos),
                                    {"add_eos_token", &config.add_eos},
                                    {"legacy", &config.legacy},
                                    {"add_prefix_space", &config.add_prefix_space}}) {
    ASSIGN_OR_RETURN(*target, get_bool(file, key));
  }
  return read_added_decoder(file, config);
}

// {"<|im_end|>": 32000, ...}; which of them are special the other files say.
Status read_added_list(const json::object& file, TokenizerConfig& config) {
  if (!config.added.empty()) return {};
  RETURN_IF_ERROR(check_count(file.size()));
  const std::unordered_set<std::string_view> special(config.special.begin(), config.special.end());
  for (const auto& [text, id] : file) {
    if (text.empty() || !id.is_int64() || id.get_int64() < 0 || id.get_int64() >= kMaxVocabulary) {
      return data_loss("the added token '{}' has no id from 0 to {}", shown_piece(text),
                       kMaxVocabulary - 1);
    }
    const bool is_special = special.contains(text);
    config.added.push_back(
        {.id = static_cast<int32_t>(id.get_int64()), .content = text, .special = is_special});
  }
  return {};
}

// What `read` makes of a JSON object in the directory, if that is there.
Status read_beside(const std::filesystem::path& folder, const char* name,
                   Status (*read)(const json::object&, TokenizerConfig&), TokenizerConfig& config) {
  const std::string path = (folder / name).string();
  if (std::error_code error; !std::filesystem::exists(path, error)) return {};
  ASSIGN_OR_RETURN(const json::value value, read_json_file(path, kTokenizerFileLimits));
  if (!value.is_object()) return data_loss("{} is not a JSON object", path);
  const Status status = read(value.get_object(), config);
  return status.ok() ? status : Status(status.code(), path + ": " + status.message());
}

// The id of the first text that the vocabulary has.
std::optional<int32_t> first_id(const std::vector<std::string>& texts,
                                const TokenizerParts& parts) {
  for (const std::string& text : texts) {
    if (const int32_t id = parts.ids.find(text); id >= 0) return id;
  }
  return std::nullopt;
}

}  // namespace

Result<AddedToken> read_added_token(const json::value& value, std::optional<int64_t> id) {
  if (!value.is_object()) return data_loss("an added token is not an object");
  const json::object& object = value.get_object();
  AddedToken token;
  ASSIGN_OR_RETURN(const auto content, get_string(object, "content"));
  if (!content) return invalid_argument("the key 'content' is missing");
  token.content = *content;
  if (!id) {
    ASSIGN_OR_RETURN(id, get_int(object, "id"));
  }
  if (!id || *id < 0 || *id >= kMaxVocabulary) {
    return data_loss("the added token '{}' has no id from 0 to {}", shown_piece(token.content),
                     kMaxVocabulary - 1);
  }
  token.id = static_cast<int32_t>(*id);
  for (const auto& [key, target] : {std::pair("single_word", &token.single_word),
                                    {"lstrip", &token.lstrip},
                                    {"rstrip", &token.rstrip},
                                    {"special", &token.special}}) {
    ASSIGN_OR_RETURN(const auto flag, get_bool(object, key));
    *target = flag.value_or(false);
  }
  ASSIGN_OR_RETURN(const auto normalized, get_bool(object, "normalized"));
  token.normalized = normalized.value_or(!token.special);
  return token;
}

Result<TokenizerConfig> read_tokenizer_config(const std::string& directory) {
  TokenizerConfig config;
  const std::filesystem::path folder(directory);
  const std::string template_path = (folder / "chat_template.jinja").string();
  if (std::error_code error; std::filesystem::exists(template_path, error)) {
    ASSIGN_OR_RETURN(config.chat_template, read_template_file(template_path));
  }
  RETURN_IF_ERROR(read_beside(folder, "tokenizer_config.json", read_main, config));
  RETURN_IF_ERROR(read_beside(folder, "special_tokens_map.json", read_ends, config));
  RETURN_IF_ERROR(read_beside(folder, "added_tokens.json", read_added_list, config));
  return config;
}

void apply_tokenizer_config(const TokenizerConfig& config, TokenizerParts& parts) {
  parts.bos = first_id(config.bos, parts);
  parts.eos = first_id(config.eos, parts);
  parts.chat_template = config.chat_template;
  if (!config.add_bos && !config.add_eos) return;
  parts.prefix.clear();
  parts.suffix.clear();
  if (config.add_bos.value_or(false) && parts.bos) parts.prefix.push_back(*parts.bos);
  if (config.add_eos.value_or(false) && parts.eos) parts.suffix.push_back(*parts.eos);
}

}  // namespace lmdeploy
