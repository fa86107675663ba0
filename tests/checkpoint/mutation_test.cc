// The fuzz functions on mutations of small valid files, the same ones in every run.
#include <gtest/gtest.h>

#include <random>

#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/torch_builder.h"
#include "tests/fuzz/checkpoint_fuzz.h"

// The functions' one home is the fuzzers' sources.
#include "tests/fuzz/config_fuzz.cc"
#include "tests/fuzz/gguf_fuzz.cc"
#include "tests/fuzz/safetensors_fuzz.cc"
#include "tests/fuzz/torch_fuzz.cc"

namespace lmdeploy {
namespace {

// One random change: a bit, a byte, a run of 8 bytes set to an extreme, a cut, a repeated piece.
void mutate(std::string& bytes, std::mt19937& random) {
  if (bytes.empty()) return;
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const size_t at = below(bytes.size());
  switch (below(6)) {
    case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
    case 1: bytes[at] = static_cast<char>(below(256)); break;
    case 2:
      for (size_t i = at; i < std::min(at + 8, bytes.size()); ++i) bytes[i] = '\xFF';
      break;
    case 3:
      for (size_t i = at; i < std::min(at + 4, bytes.size()); ++i) bytes[i] = '\0';
      break;
    case 4: bytes.resize(at); break;
    default: bytes.insert(at, bytes.substr(below(bytes.size()), below(32) + 1));
  }
}

void run_mutations(const std::string& seed, void (*fuzz)(std::span<const uint8_t>), int rounds) {
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = seed;
    for (int changes = 1 + round % 4; changes > 0; --changes) mutate(bytes, random);
    fuzz({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }
}

TEST(Mutation, Safetensors) {
  run_mutations(small_safetensors(), fuzz_safetensors, 20000);
  run_mutations(fp8_safetensors(), fuzz_safetensors, 10000);
}

TEST(Mutation, Torch) { run_mutations(small_torch_file(), fuzz_torch, 40000); }

TEST(Mutation, Gguf) {
  run_mutations(small_gguf("llama"), fuzz_gguf, 10000);
  run_mutations(small_gguf("gemma3"), fuzz_gguf, 10000);
}

TEST(Mutation, Config) {
  run_mutations(R"({"architectures":["Gemma3ForConditionalGeneration"],"eos_token_id":[1,106],
    "text_config":{"model_type":"gemma3_text","num_hidden_layers":6,"dtype":"bfloat16",
    "rope_parameters":{"full_attention":{"rope_type":"linear","factor":8.0,"rope_theta":1e6},
                       "sliding_attention":{"rope_theta":1e4}}}})",
                fuzz_config, 20000);
  run_mutations(
      R"({"auto_map":{"AutoModelForCausalLM":"m.X"},"rope_scaling":{"type":"su","factor":2},
    "top_k":20,"temperature":0.5,"quantization_config":{"quant_method":"awq"}})",
      fuzz_config, 20000);
}

}  // namespace
}  // namespace lmdeploy
