// What a caller asks of the engine and what it gets back.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/sampling.h"

namespace lmdeploy {

// Every field is final: defaults of the API and of generation_config.json are merged by the caller
// (engine/sampling_defaults.h).
struct SamplingParams {
  int n = 1;                         // choices; choice i draws with seed + i
  bool greedy = false;
  double temperature = 1.0;          // 0 is greedy
  double top_p = 1.0;
  int top_k = 0;                     // 0: off
  double min_p = 0.0;
  double repetition_penalty = 1.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::optional<uint64_t> seed;      // absent: from the system's entropy
  std::vector<TokenBias> logit_bias;
  std::vector<std::string> bad_words;     // never generated; a word of several tokens loses its last one
  std::vector<int32_t> bad_token_ids;
  std::vector<std::string> stop;          // strings, of any length, across token borders
  std::vector<int32_t> stop_token_ids;    // besides the model's own end ids
  bool include_stop = false;              // the stop string stays in the text
  bool ignore_eos = false;                // the model's end ids are banned from the draw
  bool end_ids_are_plain = false;         // they may be drawn, are kept, and end nothing (debugging)
  bool skip_special_tokens = true;
  std::optional<int64_t> max_new_tokens;  // absent: the rest of the window
  int64_t min_new_tokens = 0;             // end ids are banned before
  int logprobs = -1;                      // per token: -1 none, 0 its own, k: also the k most likely (<= 20)
};

// A stateful conversation: the engine keeps its tokens between requests, and as much of their KV as
// memory allows. One request of a session runs at a time.
struct SessionRef {
  int64_t id = 0;
  bool end = false;                  // forget the session when this request is done
};

struct GenerateRequest {
  std::string id;                    // for the log: "chatcmpl-..."
  std::vector<int32_t> prompt;       // not empty, unless a session has history
  SamplingParams sampling;
  std::optional<SessionRef> session; // the prompt is then what follows the session's history
  int priority = 0;                  // higher goes first
  uint64_t tenant = 0;               // prefix cache is shared inside one tenant only
  bool prompt_logprobs = false;      // report each prompt token's logprob (echo, perplexity)
  bool last_logits = false;          // report the raw logits after the prompt's last token
};

enum class FinishReason : uint8_t {
  kStop,     // an end id, a stop token or a stop string
  kLength,   // max_new_tokens or the window
  kAbort,    // cancelled by the caller, a stalled reader, or shutdown
  kError,    // no finite logits, or the engine failed; GenerateOutput::error says which
};
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "abort", "error"

struct TokenOutput {
  int32_t id = 0;
  float logprob = 0;                 // when logprobs >= 0
  std::vector<TokenLogprob> top;     // most likely first
};

// A piece of one choice. Pieces of a choice come in order; the last one carries `finish`.
struct GenerateOutput {
  int choice = 0;
  std::string text;                  // new text, valid UTF-8, certain not to be taken back
  std::vector<TokenOutput> tokens;   // newly kept tokens (end ids are not kept)
  std::optional<FinishReason> finish;
  std::string error;                 // with kError
  int64_t prompt_tokens = 0;         // history included
  int64_t cached_tokens = 0;         // of the prompt, found in the prefix cache
  int64_t generated_tokens = 0;      // kept so far in this choice
  // With the request's first output, whichever choice it is of, when asked for.
  std::vector<TokenOutput> prompt_logprobs;  // one per prompt token; the first has no logprob (NaN)
  std::vector<float> last_logits;
};

// Called on a text thread, one call at a time for a request; must not block. Returning false says
// that the reader is gone: the request is cancelled.
using OutputSink = std::function<bool(GenerateOutput&&)>;

using RequestId = uint64_t;

}  // namespace lmdeploy
