#include "text/gguf_pre_tokenizers.h"

#include "text/known_patterns.h"

namespace lmdeploy {

namespace {

using Digits = GgufPreTokenizer::Digits;

// The first of each entry's names is compared with Hugging Face `tokenizers` in
// tests/e2e/test_tokenizers.py, but for the last two entries; the other names stand for the same splits,
// as llama.cpp reads them.
const std::vector<GgufPreTokenizer>& pre_tokenizers() {
  static const std::vector<GgufPreTokenizer> kinds = {
      {.names = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "mellum", "trillion", "a.x-4.0"},
       .patterns = {kGpt2Pattern}},
      {.names = {"smollm", "starcoder", "refact", "codeshell", "minerva-7b"},
       .patterns = {kGpt2Pattern},
       .digits = Digits::kFirst},
      {.names = {"command-r"}, .patterns = {kGpt2Pattern}, .digits = Digits::kFirst, .nfc = true},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0"},
       .patterns = {kLlama3Pattern},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"qwen2", "deepseek-r1-qwen"}, .patterns = {kQwen2Pattern}, .nfc = true},
      {.names = {"gpt-4o"}, .patterns = {kO200kPattern}, .ignore_merges = true},
      {.names = {"tekken"}, .patterns = {kTekkenPattern}, .ignore_merges = true, .add_bos = true},
      {.names = {"deepseek-v3"},
       .patterns = {kDigits3Pattern, kDeepseekCjkPattern, kDeepseekV3Pattern}},
      {.names = {"deepseek-llm"},
       .patterns = {kLineBreakPattern, kDeepseekLlmLetters, kDeepseekLlmPunctuation, R"(\s+$)",
                    kDeepseekCjkHangulPattern},
       .digits = Digits::kLast},
      {.names = {"deepseek-coder"},
       .patterns = {kLineBreakPattern, kSpacedLettersPattern, kSpacedPunctuationPattern,
                    kDeepseekCjkHangulPattern},
       .digits = Digits::kLast},
      {.names = {"smaug-bpe", "dbrx"}, .patterns = {kLlama3Pattern}},
      {.names = {"default", ""},
       .patterns = {kDefaultPunctuation, kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
  return kinds;
}

}  // namespace

Result<const GgufPreTokenizer*> find_gguf_pre_tokenizer(const std::string& name) {
  std::string known;
  for (const GgufPreTokenizer& kind : pre_tokenizers()) {
    for (const char* other : kind.names) {
      if (name == other) return &kind;
      if (*other != '\0') known += fmt::format("{}{}", known.empty() ? "" : ", ", other);
    }
  }
  return unsupported("tokenizer.ggml.pre is '{}': this version cannot tell how such a vocabulary cuts "
                     "words; it knows {}. Use the model's directory with its tokenizer.json",
                     name.substr(0, 80), known);
}

std::string gguf_vocabulary_warning(const std::string& model, const std::string& pre) {
  if (model != "gpt2" || !(pre.empty() || pre == "default")) return {};
  return fmt::format(
      "tokenizer.ggml.pre is {}: the file does not say how its vocabulary cuts words. They are cut as "
      "llama.cpp's default does, which few models were trained with, so that answers may be worse. "
      "Convert the model again, or use its directory with tokenizer.json",
      pre.empty() ? "missing" : "'default'");
}

}  // namespace lmdeploy
