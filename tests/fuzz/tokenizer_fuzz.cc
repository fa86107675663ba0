// Fuzz target: a tokenizer.json of any bytes must load or say why not, and what loads must encode
// and decode any bytes.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "base/check.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace {

// A byte-level and a byte-fallback vocabulary of a few pieces.
lmdeploy::GgufVocabulary small_vocabulary(bool byte_level) {
  lmdeploy::GgufVocabulary vocabulary;
  vocabulary.model = byte_level ? "gpt2" : "llama";
  vocabulary.pre = "llama-bpe";
  vocabulary.tokens = {"<unk>", "<s>", "a", "b", "ab", "▁", "▁ab", "<0xC3>", "<0xA9>", "!", "aba"};
  vocabulary.token_types = {2, 3, 1, 1, 1, 1, 1, 6, 6, 1, 1};
  vocabulary.scores = {0, 0, -9, -8, -1, -7, -2, 0, 0, -5, -3};
  if (byte_level) vocabulary.merges = {"a b", "ab a"};
  vocabulary.bos = 1;
  vocabulary.unknown = 0;
  return vocabulary;
}

void round_trip(const lmdeploy::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text);
  for (const int32_t id : ids) CHECK(id >= 0 && id < tokenizer.vocab_size(), "id {}", id);
  const std::string whole = tokenizer.decode(ids, {.skip_special_tokens = false});
  CHECK(lmdeploy::utf8_valid(whole), "decoded text is not UTF-8");
  lmdeploy::IncrementalDetokenizer stream(tokenizer, {.skip_special_tokens = false});
  std::string streamed;
  for (const int32_t id : ids) streamed += stream.push(id);
  streamed += stream.flush();
  CHECK(streamed == whole, "the stream differs from the whole");
}

void load_as_file(std::string_view bytes) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("tokenizer_fuzz." + std::to_string(getpid()) + ".json");
  std::ofstream(path, std::ios::binary) << bytes;
  const auto tokenizer = lmdeploy::Tokenizer::from_file(path.string());
  std::filesystem::remove(path);
  if (tokenizer.ok()) {
    round_trip(**tokenizer, bytes);
  } else {
    CHECK(!tokenizer.status().message().empty(), "an error without a sentence");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const bool byte_level : {false, true}) {
    static const auto kTokenizers = std::pair(
        lmdeploy::Tokenizer::from_gguf(small_vocabulary(false)).value().release(),
        lmdeploy::Tokenizer::from_gguf(small_vocabulary(true)).value().release());
    round_trip(byte_level ? *kTokenizers.second : *kTokenizers.first, bytes);
  }
  load_as_file(bytes);
  return 0;
}
