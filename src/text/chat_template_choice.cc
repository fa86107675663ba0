#include "text/chat_template_choice.h"

#include <algorithm>
#include <array>

namespace lmdeploy {

namespace {

using Words = std::array<std::string_view, 6>;  // an empty one is none

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c);
  });
  return out;
}

// What a rule asks; an empty field asks nothing. The first rule that holds wins.
struct Rule {
  std::string_view name;  // of the built-in template
  // The architecture or model_type begins with one of these.
  Words families;
  // Parts of the model's own name, in lower case: one of `any`, one of `also`, none of `without`.
  Words any, also, without;
  std::string_view word;  // stands by itself in the name, as "yi" does in "yi-6b" but not in "yifan"
  std::string_view token;  // is in the vocabulary
  std::string_view chat_format, user_token;
};

// What the model's own files say.
constexpr Rule kFileRules[] = {
    {.name = "base", .families = {"qwen"}, .chat_format = "raw"},
    {.name = "qwen", .families = {"qwen"}, .chat_format = "chatml"},
    {.name = "baichuan2", .families = {"baichuan"}, .user_token = "<reserved_106>"},
    {.name = "baichuan-chat", .families = {"baichuan"}, .user_token = "<reserved_102>"},
};

constexpr Words kChat = {"chat", "instruct", "math"};

// What its name says. The names are those of the published models.
constexpr Rule kNameRules[] = {
    {.name = "base", .word = "base"},
    {.name = "base", .families = {"gemma"}, .word = "pt"},
    {.name = "deepseek-r1", .any = {"deepseek-r1"}, .token = "<｜User｜>"},
    {.name = "deepseek-v3", .families = {"deepseekv3"}, .any = {"deepseek-v3"}},
    {.name = "vicuna", .families = {"llama"}, .any = {"vicuna"}, .without = {"llava"}},
    {.name = "wizardlm", .families = {"llama"}, .any = {"wizardlm"}},
    {.name = "llava-v1", .families = {"llava"}, .any = {"llava"}, .also = {"v1", "llava-1.5"},
     .without = {"v1.6-34b", "mistral"}},
    {.name = "mini-gemini-vicuna",
     .any = {"mgm-7b", "mgm-13b", "mgm-34b", "mini-gemini-7b", "mini-gemini-13b"}},
    {.name = "cogvlm2", .families = {"cogvlm"}, .any = {"cogvlm2"}},
    {.name = "cogvlm", .families = {"cogvlm"}, .any = {"cogvlm"}},
    {.name = "internlm3", .families = {"internlm3"}, .any = {"internlm3"}, .also = kChat},
    {.name = "internlm-xcomposer2d5", .families = {"internlm"}, .any = {"xcomposer2d5"}},
    {.name = "internlm-xcomposer2-4khd", .families = {"internlm"}, .any = {"xcomposer2"}, .also = {"4khd"}},
    {.name = "internlm-xcomposer2", .families = {"internlm"}, .any = {"xcomposer2"}},
    {.name = "internlm2", .families = {"internlm2"}, .any = {"internlm2"}, .also = kChat},
    {.name = "internlm-chat-7b-8k", .families = {"internlm"}, .any = {"internlm"}, .also = {"chat-7b-8k"}},
    {.name = "internlm", .families = {"internlm"}, .any = {"internlm"}, .also = kChat},
    {.name = "base", .families = {"internlm"}, .any = {"internlm"}},
    {.name = "intern-s1", .any = {"intern-s1", "interns1"}},
    {.name = "internvl-phi3", .families = {"internvl"}, .any = {"internvl"}, .also = {"4b-v1-5"}},
    {.name = "internvl-internlm2", .families = {"internvl"}, .any = {"internvl", "chemvlm"},
     .also = {"v1-5", "chemvlm"}},
    {.name = "internvl2_5", .families = {"internvl"}, .any = {"internvl2.5", "internvl2_5", "internvl3"}},
    {.name = "internvl2-phi3", .families = {"internvl"}, .any = {"internvl2"}, .also = {"4b"}},
    {.name = "internvl2-internlm2", .families = {"internvl"}, .any = {"internvl2", "mono-internvl"}},
    {.name = "internvl-zh", .families = {"internvl"}, .any = {"internvl-chat"}, .also = {"v1-1"}},
    {.name = "internvl-zh-hermes2", .families = {"internvl"}, .any = {"internvl-chat"}, .also = {"v1-2"}},
    {.name = "llava-chatml", .families = {"llava"}, .any = {"llava"}, .also = {"v1.6-34b"}},
    {.name = "baichuan2", .families = {"baichuan"}, .any = {"baichuan2"}, .also = kChat},
    {.name = "baichuan-chat", .families = {"baichuan"}, .any = {"baichuan"}, .also = kChat},
    {.name = "base", .families = {"baichuan"}, .any = {"baichuan"}},
    {.name = "puyu", .any = {"puyu"}},
    {.name = "codellama", .families = {"llama"}, .any = {"codellama"}},
    {.name = "llama2", .families = {"llama"}, .any = {"llama-2", "llama2"}},
    {.name = "llama4", .families = {"llama4"}, .any = {"llama-4", "llama4"}},
    {.name = "llama3_1", .families = {"llama", "mllama"},
     .any = {"llama-3.1", "llama-3.2", "llama-3.3", "llama3.1", "llama3.2", "llama3.3"}},
    {.name = "llama3", .families = {"llama"}, .any = {"llama-3", "llama3"}},
    {.name = "qwq_preview", .families = {"qwen"}, .any = {"qwq"}, .also = {"preview"}},
    {.name = "qwq", .families = {"qwen"}, .any = {"qwq"}},
    {.name = "qwen2d5-vl", .families = {"qwen"}, .any = {"qwen2.5", "qwen2_5"}, .also = {"vl"}},
    {.name = "qwen2d5", .families = {"qwen"}, .any = {"qwen2.5", "qwen2_5", "qwen2d5"}},
    {.name = "qwen3", .families = {"qwen3"}, .any = {"qwen3"}},
    {.name = "qwen", .families = {"qwen"}, .any = {"qwen"}},
    {.name = "minicpm3", .families = {"minicpm3"}, .any = {"minicpm3"}},
    {.name = "minicpmv-2d6", .families = {"minicpmv"}, .any = {"minicpm-v-2_6", "minicpmv-2d6"}},
    {.name = "minicpm", .families = {"minicpm"}, .any = {"minicpm"}},
    {.name = "falcon-instruct", .families = {"falcon", "rw", "refinedweb"}, .any = {"falcon"}, .also = kChat},
    {.name = "falcon", .families = {"falcon", "rw", "refinedweb"}, .any = {"falcon"}},
    {.name = "chatglm3", .families = {"chatglm"}, .any = {"chatglm3"}},
    {.name = "chatglm", .families = {"chatglm"}, .any = {"chatglm2"}},
    {.name = "codegeex4", .families = {"chatglm"}, .any = {"codegeex4"}},
    {.name = "glm4", .families = {"chatglm", "glm"}, .any = {"glm-4", "glm4"}},
    {.name = "solar", .families = {"llama"}, .word = "solar"},
    {.name = "ultracm", .families = {"llama"}, .any = {"ultracm"}},
    {.name = "ultralm", .families = {"llama"}, .any = {"ultralm"}},
    {.name = "yi-vl", .any = {"yi-vl"}},
    {.name = "yi", .families = {"llama", "yi"}, .without = {"vl"}, .word = "yi"},
    {.name = "mistral", .families = {"mistral", "llava"}, .any = {"mistral"}, .also = {"instruct", "llava"}},
    {.name = "mixtral", .families = {"mixtral"}, .any = {"mixtral"}, .also = {"instruct"}},
    {.name = "gemma", .families = {"gemma"}, .any = {"gemma"}},
    {.name = "deepseek-vl2", .any = {"deepseek-vl2"}},
    {.name = "deepseek-vl", .any = {"deepseek-vl"}, .also = {"chat"}},
    {.name = "deepseek-coder", .families = {"llama", "deepseek"}, .any = {"deepseek-coder"}},
    {.name = "deepseek", .families = {"llama", "deepseek"}, .any = {"deepseek"}, .also = {"chat"}},
    {.name = "dbrx", .families = {"dbrx"}, .any = {"dbrx"}},
    {.name = "phi-4", .families = {"phi"}, .any = {"phi-4"}},
    {.name = "phi-3", .families = {"phi"}, .any = {"phi-3"}, .also = {"instruct"}},
    {.name = "phi-2", .families = {"phi"}, .any = {"phi-2"}},
    {.name = "molmo", .families = {"molmo"}, .any = {"molmo"}},
};

// What remains to go by where its name says nothing.
constexpr Rule kFamilyRules[] = {
    {.name = "glm4", .families = {"chatglm"}, .token = "<sop>"},
    {.name = "chatglm3", .families = {"chatglm"}, .token = "<|observation|>"},
    {.name = "chatglm", .families = {"chatglm"}},
    {.name = "glm4", .families = {"glm"}},
    {.name = "internlm3", .families = {"internlm3"}},
    {.name = "internlm2", .families = {"internlm2"}},
    {.name = "internlm", .families = {"internlmfor"}},
    {.name = "qwen3", .families = {"qwen3"}},
    {.name = "qwen", .families = {"qwen"}},
    {.name = "gpt-oss", .families = {"gptoss"}},
    {.name = "dbrx", .families = {"dbrx"}},
    {.name = "deepseek-v3", .families = {"deepseekv3"}},
    {.name = "deepseek", .families = {"deepseek"}},
    {.name = "minicpm3", .families = {"minicpm3"}},
    {.name = "minicpm", .families = {"minicpmfor"}},
    {.name = "gemma", .families = {"gemma"}},
    {.name = "phi-3", .families = {"phi3"}, .token = "<|end|>"},
    {.name = "yi", .families = {"yi"}},
    {.name = "llama3", .families = {"llama"}, .token = "<|start_header_id|>"},
    {.name = "chatml", .families = {"llama", "mistral", "mixtral", "stablelm"}, .token = "<|im_end|>"},
};

bool asks(const Words& words) { return !words[0].empty(); }

bool has_any(std::string_view text, const Words& words) {
  return std::ranges::any_of(words, [&](std::string_view word) {
    return !word.empty() && text.find(word) != std::string_view::npos;
  });
}

bool has_word(std::string_view text, std::string_view word) {
  const auto joins = [&](size_t i) { return i < text.size() && text[i] >= 'a' && text[i] <= 'z'; };
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    if ((at == 0 || !joins(at - 1)) && !joins(at + word.size())) return true;
  }
  return false;
}

bool fits_family(const Rule& rule, const ChatTemplateFacts& facts) {
  if (!asks(rule.families) || (facts.architecture.empty() && facts.model_type.empty())) return true;
  std::string type = lower(facts.model_type);
  std::erase(type, '_');
  const std::string architecture = lower(facts.architecture);
  return std::ranges::any_of(rule.families, [&](std::string_view family) {
    return !family.empty() && (architecture.starts_with(family) || type.starts_with(family));
  });
}

bool fits_name(const Rule& rule, std::string_view name) {
  return (!asks(rule.any) || has_any(name, rule.any)) && (!asks(rule.also) || has_any(name, rule.also)) &&
         !has_any(name, rule.without) && (rule.word.empty() || has_word(name, rule.word));
}

bool fits_files(const Rule& rule, const ChatTemplateFacts& facts) {
  return (rule.chat_format.empty() || rule.chat_format == facts.chat_format) &&
         (rule.user_token.empty() || rule.user_token == facts.user_token) &&
         (rule.token.empty() || !facts.has_token || facts.has_token(rule.token));
}

template <size_t N>
std::string_view first_that_fits(const Rule (&rules)[N], const ChatTemplateFacts& facts,
                                 std::string_view name) {
  for (const Rule& rule : rules) {
    if (fits_family(rule, facts) && fits_name(rule, name) && fits_files(rule, facts)) return rule.name;
  }
  return {};
}

// The last component, in lower case, as a path would spell it ("Llama 3.1 8B Instruct" of a GGUF file).
std::string own_name(std::string_view name) {
  while (name.ends_with('/')) name.remove_suffix(1);
  const size_t slash = name.find_last_of('/');
  std::string own = lower(slash == std::string_view::npos ? name : name.substr(slash + 1));
  std::ranges::replace(own, ' ', '-');
  return own;
}

}  // namespace

MatchedTemplate match_builtin_template(const ChatTemplateFacts& facts) {
  if (const std::string_view found = first_that_fits(kFileRules, facts, {}); !found.empty()) {
    return {found, "by the model's generation_config.json"};
  }
  for (const std::string& name : facts.names) {
    if (const std::string_view found = first_that_fits(kNameRules, facts, own_name(name)); !found.empty()) {
      return {found, fmt::format("by the model's name '{}'", name)};
    }
  }
  if (facts.architecture.empty() && facts.model_type.empty()) return {};
  if (const std::string_view found = first_that_fits(kFamilyRules, facts, {}); !found.empty()) {
    return {found, fmt::format("by the model's architecture {} alone; --chat-template chooses another, and "
                               "'base' is for a model that was not trained to chat",
                               facts.architecture.empty() ? facts.model_type : facts.architecture)};
  }
  return {};
}

Result<ChosenChatTemplate> choose_chat_template(const ChatTemplateFacts& facts) {
  const bool wants_own = facts.user_spec == "hf";  // LMDeploy's name for it
  if (wants_own && facts.jinja_source.empty()) {
    return not_found("--chat-template hf is the model's own chat template, and this model has none");
  }
  if (!facts.user_spec.empty() && !wants_own) {
    ASSIGN_OR_RETURN(ChatTemplate loaded, ChatTemplate::load(facts.user_spec, facts.tokens));
    return ChosenChatTemplate{std::move(loaded), "--chat-template " + facts.user_spec};
  }
  const std::string name = facts.names.empty() ? "of the model" : facts.names[0];
  if (!facts.jinja_source.empty()) {
    ASSIGN_OR_RETURN(ChatTemplate own, ChatTemplate::from_jinja(facts.jinja_source, name, facts.tokens));
    return ChosenChatTemplate{std::move(own), "the model's own template"};
  }
  const MatchedTemplate matched = match_builtin_template(facts);
  if (matched.name.empty()) {
    ASSIGN_OR_RETURN(ChatTemplate base, ChatTemplate::builtin("base", facts.tokens));
    return ChosenChatTemplate{
        std::move(base),
        fmt::format("built-in template 'base' (plain text): the model has no template of its own and "
                    "none fits its name '{}'; --chat-template chooses one",
                    name)};
  }
  ASSIGN_OR_RETURN(ChatTemplate found, ChatTemplate::builtin(matched.name, facts.tokens));
  return ChosenChatTemplate{std::move(found),
                            fmt::format("built-in template '{}', {}", matched.name, matched.reason)};
}

}  // namespace lmdeploy
