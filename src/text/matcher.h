// Matcher: finds the matches of a pattern in text, what a Split pre-tokenizer cuts at.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lmdeploy {

struct Match {
  size_t begin, end;  // bytes
};

// Immutable and thread-safe.
class Matcher {
 public:
  virtual ~Matcher() = default;
  // The first match at or after byte `from` of valid UTF-8; false if there is none. An empty match
  // is reported only behind `from`, so that a loop over matches moves on.
  virtual bool next(std::string_view text, size_t from, Match& match) const = 0;
};

// Matches of the literal `text`, which must not be empty.
std::unique_ptr<Matcher> make_literal_matcher(std::string text);

// A hand-written matcher if `regex` is, to the letter, a published pre-tokenizer's; else nullptr.
std::unique_ptr<Matcher> make_known_matcher(std::string_view regex);

// PCRE2 with Unicode properties. kInvalidArgument if the pattern does not compile. Where a search
// exceeds the engine's limits, the rest of the text is taken as unmatched.
Result<std::unique_ptr<Matcher>> make_regex_matcher(const std::string& regex);

// The known matcher of `regex`, or PCRE2.
Result<std::unique_ptr<Matcher>> make_matcher(const std::string& regex);

}  // namespace lmdeploy
