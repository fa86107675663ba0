#include "text/gguf_pre_tokenizers.h"

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/tokenizer.h"

namespace lmdeploy {
namespace {

// The words of `text`: a vocabulary of all pieces that a merge of bytes can make tells where words end.
std::vector<std::string> words(const char* pre, std::string_view text) {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  const auto spelled = [](std::string_view bytes) {
    std::string piece;
    for (char byte : bytes) utf8_append(piece, byte_level_char(static_cast<unsigned char>(byte)));
    return piece;
  };
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.tokens.push_back(spelled(std::string(1, static_cast<char>(byte))));
  }
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t length = 2; begin + length <= text.size(); ++length) {
      const std::string left = spelled(text.substr(begin, length - 1));
      const std::string right = spelled(text.substr(begin + length - 1, 1));
      if (std::ranges::find(vocabulary.tokens, left + right) != vocabulary.tokens.end()) continue;
      vocabulary.tokens.push_back(left + right);
      vocabulary.merges.push_back(left + " " + right);
    }
  }
  const auto tokenizer = Tokenizer::from_gguf(std::move(vocabulary));
  CHECK(tokenizer.ok(), "{}", tokenizer.status().message());
  std::vector<std::string> out;
  for (int32_t id : (*tokenizer)->encode(text)) out.push_back((*tokenizer)->decode(std::vector<int32_t>{id}));
  return out;
}

using Words = std::vector<std::string>;

TEST(GgufPreTokenizers, NamesOfOneFamilyCutAlike) {
  constexpr char kText[] = "ab 1234'S";
  const Words gpt2 = {"ab", " 1234", "'", "S"}, llama = {"ab", " ", "123", "4", "'S"};
  const Words qwen = {"ab", " ", "1", "2", "3", "4", "'S"};
  for (const char* pre : {"gpt-2", "phi-2", "mpt", "olmo", "jais", "mellum"}) {
    EXPECT_EQ(words(pre, kText), gpt2) << pre;
  }
  for (const char* pre : {"llama-bpe", "falcon3", "pixtral", "smaug-bpe", "dbrx"}) {
    EXPECT_EQ(words(pre, kText), llama) << pre;
  }
  for (const char* pre : {"qwen2", "deepseek-r1-qwen"}) EXPECT_EQ(words(pre, kText), qwen) << pre;
}

TEST(GgufPreTokenizers, WithoutANameAsLlamaCppsDefault) {
  for (const char* pre : {"default", ""}) {
    EXPECT_EQ(words(pre, "ab 1234, <c>"), (Words{"ab", " ", "123", "4", ",", " ", "<", "c", ">"})) << pre;
  }
}

TEST(GgufPreTokenizers, OnlyAMissingNameIsWarnedOf) {
  EXPECT_NE(gguf_vocabulary_warning("gpt2", "").find("is missing"), std::string::npos);
  EXPECT_NE(gguf_vocabulary_warning("gpt2", "default").find("'default'"), std::string::npos);
  EXPECT_EQ(gguf_vocabulary_warning("gpt2", "llama-bpe"), "");
  EXPECT_EQ(gguf_vocabulary_warning("llama", ""), "") << "sentencepiece has no such step";
}

TEST(GgufPreTokenizers, UnknownNamesAreRefusedWithTheKnownOnes) {
  const std::string text = find_gguf_pre_tokenizer("klingon").status().message();
  for (const char* part : {"'klingon'", "deepseek-r1-qwen", "smaug-bpe", "default"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_EQ(text.find(", ,"), std::string::npos) << text;
}

}  // namespace
}  // namespace lmdeploy
