// The sampling fields that chat completions and completions share.
#pragma once

#include "engine/request.h"
#include "serve/field_reader.h"
#include "serve/model_host.h"

namespace lmdeploy {

// Bounds on what one request may ask for.
inline constexpr int kMostChoices = 128;
inline constexpr int kMostTopLogprobs = 20;
inline constexpr size_t kMostStops = 32;  // and bad words
inline constexpr size_t kMostStopBytes = 1024;
inline constexpr size_t kMostBiases = 1024;
inline constexpr size_t kMostStopIds = 128;  // and bad tokens

// What is common to both endpoints and is not sampling.
struct ReplyOptions {
  std::string model;  // as the request spelled it
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  bool return_token_ids = false;
};

// Reads n, temperature, top_p, top_k, min_p, the penalties, seed, logit_bias, stop, stop_token_ids,
// bad_words, bad_token_ids, ignore_eos, skip_special_tokens, include_stop_str_in_output, min_new_tokens. Where the request is
// silent, generation_config.json speaks, then LMDeploy's API defaults (temperature 0.7, top_p 1,
// top_k 40). Not max_tokens and logprobs: the endpoints differ in them.
SamplingParams read_sampling(FieldReader& fields, const ModelFacts& facts);

// model, stream, stream_options, return_token_ids; names the fields that have no effect (user, ...)
// and refuses those that this version lacks (response_format, tools, ...).
ReplyOptions read_reply_options(FieldReader& fields);

}  // namespace lmdeploy
