// PreTokenizer: cuts normalized text into the words that the model encodes one by one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "text/matcher.h"

namespace lmdeploy {

// A piece of text; `at_start` when it begins where the whole input begins.
using PieceSink = FunctionRef<void(std::string_view piece, bool at_start)>;

// One step. Immutable and thread-safe. Empty pieces are never emitted.
class SplitStage {
 public:
  virtual ~SplitStage() = default;
  virtual void split(std::string_view text, bool at_start, PieceSink sink) const = 0;
};

// What becomes of the matches of a Split, by the names of tokenizer.json.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// `invert`: the matches are the words and the rest is what `behavior` is about.
std::unique_ptr<SplitStage> make_split(std::unique_ptr<Matcher> matcher, SplitBehavior behavior,
                                       bool invert);
// Digits: every digit alone, or runs of digits.
std::unique_ptr<SplitStage> make_digits(bool individual);
// Punctuation (ASCII's, and category P).
std::unique_ptr<SplitStage> make_punctuation(SplitBehavior behavior);
// ByteLevel with add_prefix_space: a space before text that does not begin with one.
std::unique_ptr<SplitStage> make_prefix_space();

// When Metaspace puts its replacement before a text.
enum class PrependScheme { kFirst, kAlways, kNever };
// Metaspace: ' ' becomes `replacement`, and each begins a word if `split`.
std::unique_ptr<SplitStage> make_metaspace(std::string replacement, PrependScheme scheme,
                                           bool split);

// The steps in order, each over the pieces of the one before.
class PreTokenizer {
 public:
  void add(std::unique_ptr<SplitStage> stage) { stages_.push_back(std::move(stage)); }
  void run(std::string_view text, bool at_start, PieceSink sink) const { run_from(0, text, at_start, sink); }

 private:
  void run_from(size_t stage, std::string_view text, bool at_start, PieceSink sink) const;
  std::vector<std::unique_ptr<SplitStage>> stages_;
};

}  // namespace lmdeploy
