// Which chat template a model gets.
#include <algorithm>

#include "text/builtin_templates.h"
#include "text/chat_template.h"

namespace lmdeploy {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c);
  });
  return out;
}

bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

// A model's own name, in lower case, and the questions that the rules below ask of it.
class ModelName {
 public:
  explicit ModelName(std::string_view name) : name_(lower(name)) {
    const size_t slash = name_.find_last_of('/');
    if (slash != std::string::npos) name_ = name_.substr(slash + 1);
  }

  // Any of the words occurs.
  bool has(std::initializer_list<std::string_view> words) const {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
      return name_.find(word) != std::string::npos;
    });
  }

  // The word stands by itself, as "yi" does in "yi-6b" but not in "yifan".
  bool has_word(std::string_view word) const {
    for (size_t at = name_.find(word); at != std::string::npos; at = name_.find(word, at + 1)) {
      const size_t end = at + word.size();
      const auto joins = [&](size_t i) { return i < name_.size() && is_letter(name_[i]); };
      if ((at == 0 || !joins(at - 1)) && !joins(end)) return true;
    }
    return false;
  }

 private:
  std::string name_;
};

struct Rule {
  std::string_view name;  // of the built-in template
  // Parts of architecture names that it goes with; empty: any.
  std::string_view architectures[3];
  bool (*matches)(const ModelName&);
};

using N = const ModelName&;

// In this order: the first rule that holds wins.
constexpr Rule kRules[] = {
    {"deepseek-r1", {"DeepseekV3"}, [](N n) { return n.has({"deepseek-r1"}); }},
    {"deepseek-v3", {"DeepseekV3"}, [](N n) { return n.has({"deepseek-v3"}); }},
    {"vicuna", {"Llama"}, [](N n) { return n.has({"vicuna"}) && !n.has({"llava"}); }},
    {"wizardlm", {"Llama"}, [](N n) { return n.has({"wizardlm"}); }},
    {"llava-v1", {"Llava"}, [](N n) {
       return n.has({"llava"}) && n.has({"v1", "llava-1.5"}) && !n.has({"v1.6-34b", "mistral"});
     }},
    {"mini-gemini-vicuna", {}, [](N n) {
       return n.has({"mgm-7b", "mgm-13b", "mgm-34b", "mini-gemini-7b", "mini-gemini-13b"});
     }},
    {"cogvlm2", {"CogVLM"}, [](N n) { return n.has({"cogvlm2"}); }},
    {"cogvlm", {"CogVLM"}, [](N n) { return n.has({"cogvlm"}); }},
    {"internlm3", {"InternLM3"}, [](N n) { return n.has({"internlm3"}) && n.has({"instruct"}); }},
    {"internlm-xcomposer2d5", {"InternLM"}, [](N n) { return n.has({"xcomposer2d5"}); }},
    {"internlm-xcomposer2-4khd", {"InternLM"}, [](N n) {
       return n.has({"xcomposer2"}) && n.has({"4khd"});
     }},
    {"internlm-xcomposer2", {"InternLM"}, [](N n) { return n.has({"xcomposer2"}); }},
    {"internlm2", {"InternLM2"}, [](N n) {
       return n.has({"internlm2"}) && n.has({"chat", "math"});
     }},
    {"internlm-chat-7b-8k", {"InternLM"}, [](N n) {
       return n.has({"internlm"}) && n.has({"chat"}) && n.has({"8k"});
     }},
    {"internlm", {"InternLM"}, [](N n) { return n.has({"internlm"}) && n.has({"chat"}); }},
    {"intern-s1", {}, [](N n) { return n.has({"intern-s1", "interns1"}); }},
    {"internvl-phi3", {"InternVL"}, [](N n) {
       return n.has({"internvl"}) && n.has({"v1-5"}) && n.has({"4b"});
     }},
    {"internvl-internlm2", {"InternVL"}, [](N n) {
       return (n.has({"internvl"}) && n.has({"v1-5"})) || n.has({"chemvlm"});
     }},
    {"internvl2_5", {"InternVL"}, [](N n) {
       return n.has({"internvl2.5", "internvl2_5", "internvl3"});
     }},
    {"internvl2-phi3", {"InternVL"}, [](N n) { return n.has({"internvl2"}) && n.has({"4b"}); }},
    {"internvl2-internlm2", {"InternVL"}, [](N n) { return n.has({"internvl2", "mono-internvl"}); }},
    {"internvl-zh", {"InternVL"}, [](N n) { return n.has({"internvl-chat"}) && n.has({"v1-1"}); }},
    {"internvl-zh-hermes2", {"InternVL"}, [](N n) {
       return n.has({"internvl-chat"}) && n.has({"v1-2"});
     }},
    {"llava-chatml", {"Llava"}, [](N n) { return n.has({"llava"}) && n.has({"v1.6-34b"}); }},
    {"baichuan2", {"Baichuan"}, [](N n) { return n.has({"baichuan2"}) && n.has({"chat"}); }},
    {"puyu", {}, [](N n) { return n.has({"puyu"}); }},
    {"codellama", {"Llama"}, [](N n) { return n.has({"codellama"}); }},
    {"llama2", {"Llama"}, [](N n) { return n.has({"llama-2", "llama2"}); }},
    {"llama4", {"Llama4"}, [](N n) { return n.has({"llama-4", "llama4"}); }},
    {"llama3_1", {"Llama", "Mllama"}, [](N n) {
       return n.has({"llama-3.1", "llama-3.2", "llama-3.3", "llama3.1", "llama3.2", "llama3.3"});
     }},
    {"llama3", {"Llama"}, [](N n) { return n.has({"llama-3", "llama3"}); }},
    {"qwq_preview", {"Qwen"}, [](N n) { return n.has({"qwq"}) && n.has({"preview"}); }},
    {"qwq", {"Qwen"}, [](N n) { return n.has({"qwq"}); }},
    {"qwen2d5-vl", {"Qwen"}, [](N n) { return n.has({"qwen2.5"}) && n.has({"vl"}); }},
    {"qwen2d5", {"Qwen"}, [](N n) { return n.has({"qwen2.5", "qwen2d5"}); }},
    {"qwen3", {"Qwen3"}, [](N n) { return n.has({"qwen3"}); }},
    {"qwen", {"QWen", "Qwen"}, [](N n) { return n.has({"qwen"}); }},
    {"minicpm3", {"MiniCPM3"}, [](N n) { return n.has({"minicpm3"}); }},
    {"minicpmv-2d6", {"MiniCPMV"}, [](N n) { return n.has({"minicpm-v-2_6", "minicpmv-2d6"}); }},
    {"falcon", {"Falcon", "RW"}, [](N n) { return n.has({"falcon"}); }},
    {"chatglm3", {"ChatGLM"}, [](N n) { return n.has({"chatglm3"}); }},
    {"chatglm", {"ChatGLM"}, [](N n) { return n.has({"chatglm"}); }},
    {"codegeex4", {"ChatGLM"}, [](N n) { return n.has({"codegeex4"}); }},
    {"glm4", {"ChatGLM", "Glm"}, [](N n) { return n.has({"glm-4", "glm4"}); }},
    {"solar", {"Llama"}, [](N n) { return n.has_word("solar"); }},
    {"ultracm", {"Llama"}, [](N n) { return n.has({"ultracm"}); }},
    {"ultralm", {"Llama"}, [](N n) { return n.has({"ultralm"}); }},
    {"yi-vl", {}, [](N n) { return n.has({"yi-vl"}); }},
    {"yi", {"Llama", "Yi"}, [](N n) { return n.has_word("yi") && !n.has({"vl"}); }},
    {"mistral", {"Mistral", "Llava"}, [](N n) {
       return n.has({"mistral"}) && n.has({"instruct", "llava"});
     }},
    {"mixtral", {"Mixtral"}, [](N n) { return n.has({"mixtral"}) && n.has({"instruct"}); }},
    {"gemma", {"Gemma"}, [](N n) { return n.has({"gemma"}); }},
    {"deepseek-vl2", {}, [](N n) { return n.has({"deepseek-vl2"}); }},
    {"deepseek-vl", {}, [](N n) { return n.has({"deepseek-vl"}) && n.has({"chat"}); }},
    {"deepseek-coder", {"Llama", "Deepseek"}, [](N n) { return n.has({"deepseek-coder"}); }},
    {"deepseek", {"Llama", "Deepseek"}, [](N n) { return n.has({"deepseek"}) && n.has({"chat"}); }},
    {"dbrx", {"Dbrx"}, [](N n) { return n.has({"dbrx"}); }},
    {"phi-4", {"Phi"}, [](N n) { return n.has({"phi-4"}); }},
    {"phi-3", {"Phi"}, [](N n) { return n.has({"phi-3"}) && n.has({"instruct"}); }},
    {"molmo", {"Molmo"}, [](N n) { return n.has({"molmo"}); }},
};

bool goes_with(const Rule& rule, std::string_view architecture) {
  if (architecture.empty() || rule.architectures[0].empty()) return true;
  const std::string wanted = lower(architecture);
  return std::any_of(std::begin(rule.architectures), std::end(rule.architectures),
                     [&](std::string_view part) {
                       return !part.empty() && wanted.find(lower(part)) != std::string::npos;
                     });
}

}  // namespace

std::string match_builtin_template(std::string_view model_name, std::string_view architecture) {
  const ModelName name(model_name);
  for (const Rule& rule : kRules) {
    if (rule.matches(name) && goes_with(rule, architecture)) return std::string(rule.name);
  }
  return {};
}

Result<ChosenChatTemplate> choose_chat_template(const ChatTemplateFacts& facts) {
  if (!facts.user_spec.empty()) {
    ASSIGN_OR_RETURN(ChatTemplate loaded, ChatTemplate::load(facts.user_spec, facts.tokens));
    return ChosenChatTemplate{std::move(loaded), "--chat-template " + facts.user_spec};
  }
  if (!facts.jinja_source.empty()) {
    const std::string name = facts.model_name.empty() ? "of the model" : facts.model_name;
    ASSIGN_OR_RETURN(ChatTemplate own,
                     ChatTemplate::from_jinja(facts.jinja_source, name, facts.tokens));
    return ChosenChatTemplate{std::move(own), "the model's own template"};
  }
  const std::string matched = match_builtin_template(facts.model_name, facts.architecture);
  ASSIGN_OR_RETURN(ChatTemplate found,
                   ChatTemplate::builtin(matched.empty() ? "base" : matched, facts.tokens));
  if (matched.empty()) {
    return ChosenChatTemplate{
        std::move(found),
        fmt::format("built-in template 'base' (plain text): the model has no template of its own and "
                    "none fits its name '{}'; --chat-template chooses one",
                    facts.model_name)};
  }
  return ChosenChatTemplate{
      std::move(found), fmt::format("built-in template '{}', by the model's name '{}'{}", matched,
                                    facts.model_name,
                                    facts.architecture.empty() ? "" : " and its architecture")};
}

}  // namespace lmdeploy
