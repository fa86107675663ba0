// Random requests for engines of a tiny model (a vocabulary of 256), on the CPU and on the GPU.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace lmdeploy::testing {

// The same requests for the same seed. Not thread-safe.
class RandomRequests {
 public:
  explicit RandomRequests(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 6; ++i) shared_.push_back(tokens(below(90) + 40));
  }

  // Every kind of sampling, n > 1, stop strings, forbidden words.
  GenerateRequest next() {
    GenerateRequest request = prompt_and_length();
    SamplingParams& sampling = request.sampling;
    sampling.greedy = below(4) == 0;
    sampling.seed = random_();
    sampling.temperature = 0.7;
    if (below(3) == 0) sampling.top_k = 1 + static_cast<int>(below(40));
    if (below(3) == 0) sampling.top_p = 0.5 + 0.05 * static_cast<double>(below(10));
    if (below(4) == 0) sampling.min_p = 0.05;
    if (below(4) == 0) sampling.repetition_penalty = 1.1;
    if (below(6) == 0) sampling.frequency_penalty = 0.5;
    if (below(5) == 0) sampling.n = 2 + static_cast<int>(below(3));
    if (below(5) == 0) sampling.min_new_tokens = 5;
    if (below(8) == 0) sampling.ignore_eos = true;
    if (below(8) == 0) sampling.bad_words = {"a", "bc", "def"};
    if (below(5) == 0) sampling.stop = {std::string(1, static_cast<char>('a' + below(26)))};
    if (below(8) == 0) sampling.logprobs = 3;
    return request;
  }

  // One greedy choice with the log-probabilities of the best two tokens.
  GenerateRequest next_greedy() {
    GenerateRequest request = prompt_and_length();
    request.sampling.greedy = true;
    request.sampling.logprobs = 2;
    return request;
  }

  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

 private:
  // Two thirds start with a prompt that others share, half of those with all of it.
  GenerateRequest prompt_and_length() {
    GenerateRequest request;
    if (below(3) > 0) {
      const std::vector<int32_t>& common = shared_[below(shared_.size())];
      const size_t length = below(2) == 0 ? common.size() : 1 + below(common.size());
      request.prompt.assign(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(length));
    }
    if (request.prompt.empty() || below(2) == 0) {
      const std::vector<int32_t> tail = tokens(below(60) + 1);
      request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
    }
    request.sampling.max_new_tokens = 1 + below(40);
    request.sampling.skip_special_tokens = false;
    return request;
  }

  std::vector<int32_t> tokens(size_t count) {
    std::vector<int32_t> out;
    for (size_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(below(256)));
    return out;
  }

  std::mt19937_64 random_;
  std::vector<std::vector<int32_t>> shared_;
};

// Waits up to five seconds for the engine to be idle.
inline void expect_blocks_come_back(Engine& engine) {
  for (int i = 0; i < 500 && (engine.stats().blocks_used > 0 || engine.stats().running > 0); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(engine.stats().blocks_used, 0);
  EXPECT_EQ(engine.stats().running, 0);
  EXPECT_EQ(engine.stats().waiting, 0);
}

}  // namespace lmdeploy::testing
