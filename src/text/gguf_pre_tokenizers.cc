#include "text/gguf_pre_tokenizers.h"

#include "text/known_patterns.h"

namespace lmdeploy {

namespace {

using Digits = GgufPreTokenizer::Digits;

// Each is compared with Hugging Face `tokenizers` in tests/e2e/test_tokenizers.py.
const std::vector<GgufPreTokenizer>& pre_tokenizers() {
  static const std::vector<GgufPreTokenizer> kinds = {
      {.names = {"gpt-2"}, .patterns = {kGpt2Pattern}},
      {.names = {"smollm", "starcoder", "refact"}, .patterns = {kGpt2Pattern}, .digits = Digits::kFirst},
      {.names = {"command-r"}, .patterns = {kGpt2Pattern}, .digits = Digits::kFirst, .nfc = true},
      {.names = {"llama-bpe", "llama3", "llama-v3"},
       .patterns = {kLlama3Pattern},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"qwen2"}, .patterns = {kQwen2Pattern}, .nfc = true},
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
  };
  return kinds;
}

}  // namespace

Result<const GgufPreTokenizer*> find_gguf_pre_tokenizer(const std::string& name) {
  std::string known;
  for (const GgufPreTokenizer& kind : pre_tokenizers()) {
    for (const char* other : kind.names) {
      if (name == other) return &kind;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", other);
    }
  }
  const std::string got = name.empty() ? "missing" : fmt::format("'{}'", name.substr(0, 80));
  return unsupported("tokenizer.ggml.pre is {}: this version cannot tell how such a vocabulary cuts "
                     "words; it knows {}. Use the model's directory with its tokenizer.json",
                     got, known);
}

}  // namespace lmdeploy
