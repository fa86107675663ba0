// Runs the fuzz target over random and mutated inputs, so that a machine without libFuzzer has it too.
#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/fuzz/tokenizer_fuzz.cc"

namespace lmdeploy {
namespace {

int fuzz(std::string_view bytes) {
  return LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

TEST(TokenizerFuzz, RandomBytes) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    std::string bytes;
    for (uint64_t i = 0; i < hash_random(seed, 0) % 200; ++i) {
      const uint64_t draw = hash_random(seed, i + 1);
      bytes += draw % 3 == 0 ? static_cast<char>(draw >> 8) : "ab \xC3\xA9!<s>"[draw % 9];
    }
    EXPECT_EQ(fuzz(bytes), 0);
  }
}

// A good tokenizer.json with bytes changed, dropped and doubled.
TEST(TokenizerFuzz, MutatedJson) {
  const std::string good =
      R"({"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Strip"}]},)"
      R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\s+|a"},"behavior":"Isolated"},)"
      R"("added_tokens":[{"id":3,"content":"<s>","special":true}],"decoder":{"type":"Fuse"},)"
      R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})";
  EXPECT_EQ(fuzz(good), 0);
  for (uint64_t seed = 0; seed < 1500; ++seed) {
    std::string bytes = good;
    for (uint64_t i = 0; i < 1 + seed % 3; ++i) {
      const size_t at = hash_random(seed, 3 * i) % bytes.size();
      const size_t n = 1 + hash_random(seed, 3 * i + 1) % 8;
      switch (hash_random(seed, 3 * i + 2) % 3) {
        case 0: bytes[at] = static_cast<char>(hash_random(seed, 99 + i)); break;
        case 1: bytes.erase(at, n); break;
        default: bytes.insert(at, bytes.substr(at, n));
      }
    }
    EXPECT_EQ(fuzz(bytes), 0);
  }
}

}  // namespace
}  // namespace lmdeploy
