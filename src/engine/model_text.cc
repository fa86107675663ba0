#include "engine/model_text.h"

#include <algorithm>
#include <filesystem>

#include "base/utf8.h"
#include "checkpoint/model_path.h"
#include "text/byte_level.h"
#include "text/builtin_templates.h"
#include "text/chat_template_choice.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/template_file.h"

namespace lmdeploy {

namespace {

GgufVocabulary to_vocabulary(const GgufTokenizerMetadata& metadata) {
  GgufVocabulary vocabulary;
  vocabulary.model = metadata.model;
  vocabulary.pre = metadata.pre;
  vocabulary.tokens = metadata.tokens;
  vocabulary.scores = metadata.scores;
  vocabulary.token_types = metadata.token_types;
  vocabulary.merges = metadata.merges;
  vocabulary.bos = metadata.bos;
  vocabulary.eos = metadata.eos;
  vocabulary.eot = metadata.eot;
  vocabulary.unknown = metadata.unknown;
  vocabulary.padding = metadata.padding;
  vocabulary.add_bos = metadata.add_bos;
  vocabulary.add_eos = metadata.add_eos;
  vocabulary.add_space_prefix = metadata.add_space_prefix;
  return vocabulary;
}

// The 256 bytes, then a word for each other id, so that every drawn token shows.
Result<std::unique_ptr<Tokenizer>> byte_tokenizer(const json::object& config) {
  constexpr int64_t kMostIds = 1 << 20;
  ASSIGN_OR_RETURN(const std::optional<int64_t> ids, get_int(config, "vocab_size"));
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    utf8_append(vocabulary.tokens.emplace_back(), byte_level_char(static_cast<unsigned char>(byte)));
  }
  for (int64_t id = 256; id < std::min(ids.value_or(0), kMostIds); ++id) {
    utf8_append(vocabulary.tokens.emplace_back(), byte_level_char(' '));
    vocabulary.tokens.back() += fmt::format("t{}", id);
  }
  return Tokenizer::from_gguf(std::move(vocabulary));
}

Result<std::unique_ptr<Tokenizer>> tokenizer_of(const Checkpoint& checkpoint) {
  if (checkpoint.is_gguf()) return Tokenizer::from_gguf(to_vocabulary(*checkpoint.gguf_tokenizer()));
  return Tokenizer::from_file(checkpoint.path());
}

std::string piece_of(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.piece(*id)) : std::string();
}

void add_unique(std::vector<int32_t>& ids, int32_t id) {
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

// What the tokenizer puts before every text.
std::string prefix_of(const Tokenizer& tokenizer) {
  std::string prefix;
  for (const int32_t id : tokenizer.encode("", {.add_special_tokens = true})) prefix += tokenizer.piece(id);
  return prefix;
}

// architectures[0], or a string member of the configuration.
std::string config_text(const json::object& config, std::string_view key) {
  const json::value* value = find(config, key);
  if (value != nullptr && value->is_array() && !value->as_array().empty()) value = &value->as_array()[0];
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

ChatTemplateFacts template_facts(const Checkpoint& checkpoint, const Tokenizer& tokenizer,
                                 const std::string& user_spec) {
  const GenerationDefaults& generation = checkpoint.generation_defaults();
  ChatTemplateFacts facts;
  facts.names = {name_of_model_path(checkpoint.path()), checkpoint.model_name()};
  facts.architecture = config_text(checkpoint.config(), "architectures");
  facts.model_type = config_text(checkpoint.config(), "model_type");
  facts.jinja_source = checkpoint.is_gguf() ? checkpoint.gguf_chat_template() : tokenizer.chat_template();
  facts.user_spec = user_spec;
  facts.chat_format = generation.chat_format;
  facts.user_token = piece_of(tokenizer, generation.user_token_id);
  facts.has_token = [&tokenizer](std::string_view text) { return tokenizer.id_of(text).has_value(); };
  facts.tokens = {piece_of(tokenizer, tokenizer.bos_id()), piece_of(tokenizer, tokenizer.eos_id()),
                  prefix_of(tokenizer)};
  return facts;
}

std::string missing_marks_warning(const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
  std::string missing;
  for (const std::string& mark : chat_template.special_marks()) {
    if (!tokenizer.id_of(mark)) missing += (missing.empty() ? "" : ", ") + mark;
  }
  if (missing.empty()) return {};
  return fmt::format("the chat template '{}' writes {}: no token of this model's vocabulary, so the model "
                     "reads it as plain text; --chat-template chooses another template",
                     chat_template.name(), missing);
}

// A template's stop word that is one token ends a turn like EOS does.
std::vector<int32_t> join_end_ids(const Checkpoint& checkpoint, const Tokenizer& tokenizer,
                                  const ChatTemplate& chat_template) {
  std::vector<int32_t> ids;
  for (int32_t id : checkpoint.generation_defaults().eos_ids) add_unique(ids, id);
  for (int32_t id : tokenizer.end_ids()) add_unique(ids, id);
  for (const std::string& word : chat_template.stop_words()) {
    if (const std::optional<int32_t> id = tokenizer.id_of(word)) add_unique(ids, *id);
  }
  return ids;
}

SamplingDefaults defaults_of(const GenerationDefaults& generation) {
  return {generation.do_sample, generation.temperature, generation.top_p,
          generation.min_p, generation.repetition_penalty, generation.top_k};
}

// What a --chat-template says as ChatTemplateConfig.
Result<json::object> template_config(const std::string& spec) {
  if (spec.empty() || spec == "hf" || spec.ends_with(".jinja") || spec.ends_with(".jinja2")) return json::object();
  if (find_builtin_template(spec) != nullptr) return json::object{{"model_name", spec}};
  ASSIGN_OR_RETURN(json::value config, spec.starts_with("{")
                                           ? parse_json(spec, "--chat-template")
                                           : read_json_file(spec, {.max_bytes = kMaxTemplateBytes}));
  if (!config.is_object()) return invalid_argument("--chat-template is no JSON object");
  return std::move(config.get_object());
}

}  // namespace

Result<ModelText> load_model_text(const Checkpoint& checkpoint, const std::string& chat_template,
                                  bool bytes_will_do) {
  ModelText text;
  const bool bytes = bytes_will_do && !checkpoint.is_gguf() &&
                     !Tokenizer::has_files(checkpoint.path());
  ASSIGN_OR_RETURN(text.tokenizer, bytes ? byte_tokenizer(checkpoint.config()) : tokenizer_of(checkpoint));
  if (const auto& gguf = checkpoint.gguf_tokenizer()) {
    text.tokenizer_warning = gguf_vocabulary_warning(gguf->model, gguf->pre);
  }
  const Tokenizer& tokenizer = *text.tokenizer;
  ASSIGN_OR_RETURN(ChosenChatTemplate chosen,
                   choose_chat_template(template_facts(checkpoint, tokenizer, chat_template)));
  if (!bytes) text.chat_template_warning = missing_marks_warning(chosen.chat_template, tokenizer);
  text.chat_template = std::move(chosen.chat_template);
  text.chat_template_reason = std::move(chosen.reason);
  text.end_ids = join_end_ids(checkpoint, tokenizer, *text.chat_template);
  text.sampling_defaults = defaults_of(checkpoint.generation_defaults());
  return text;
}

std::string template_with_capability(const std::string& spec, const std::string& capability) {
  if (capability == "chat") return spec;
  const Result<json::object> config = template_config(spec);
  if (!config.ok()) return spec;
  json::object with = *config;
  with["capability"] = capability;
  return to_json_text(with);
}

Result<ChatPrompt> make_chat_prompt(const ChatTemplate& chat_template, ChatRender chat) {
  chat.parse_tool_arguments = true;
  ChatPrompt prompt;
  ASSIGN_OR_RETURN(prompt.text, chat_template.render(chat));
  prompt.add_special_tokens = chat_template.wants_bos(prompt.text);
  return prompt;
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& source) {
  for (const char* extension : {".json", ".model", ".tiktoken"}) {
    if (std::filesystem::path(source).extension() == extension) return Tokenizer::from_file(source);
  }
  ASSIGN_OR_RETURN(const std::string path, resolve_model_path(source));
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return Tokenizer::from_file(path);
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint, Checkpoint::open(path));
  return tokenizer_of(*checkpoint);
}

}  // namespace lmdeploy
