// One function a parser of checkpoint/: takes any bytes and aborts when a promise of the parser is
// broken. tests/checkpoint runs them on mutations of small valid files; compiled with
// -DLMDEPLOY_LIBFUZZER -fsanitize=fuzzer each .cc is a libFuzzer program.
#pragma once

#include <cstdint>
#include <span>

namespace lmdeploy {

void fuzz_safetensors(std::span<const uint8_t> input);
void fuzz_torch(std::span<const uint8_t> input);
void fuzz_gguf(std::span<const uint8_t> input);
void fuzz_config(std::span<const uint8_t> input);

}  // namespace lmdeploy
