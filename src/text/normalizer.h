// Normalizer: what a tokenizer does to text before it cuts words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/matcher.h"

namespace lmdeploy {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// One step over valid UTF-8. Immutable and thread-safe.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual void apply(std::string& text) const = 0;
  // On text that does not begin the input, where that makes a difference.
  virtual void apply_inside(std::string& text) const { apply(text); }
};

std::unique_ptr<NormalizerStep> make_normal_form(NormalForm form);
// Replace: every match becomes `content`.
std::unique_ptr<NormalizerStep> make_replace(std::unique_ptr<Matcher> matcher, std::string content);
// Prepend: `prefix` before any text that is not empty.
std::unique_ptr<NormalizerStep> make_prepend(std::string prefix);
std::unique_ptr<NormalizerStep> make_lowercase();
// Strip: white space off either end.
std::unique_ptr<NormalizerStep> make_strip(bool left, bool right);
// StripAccents: nonspacing marks go.
std::unique_ptr<NormalizerStep> make_strip_accents();

class Normalizer {
 public:
  void add(std::unique_ptr<NormalizerStep> step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  // `at_start`: the text begins the input.
  std::string run(std::string_view text, bool at_start = true) const {
    std::string out;
    out.reserve(text.size() + text.size() / 8 + 16);  // for what steps insert
    out = text;
    for (const auto& step : steps_) at_start ? step->apply(out) : step->apply_inside(out);
    return out;
  }

 private:
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
};

// `text` in a normalization form (Unicode Standard Annex 15), of the Unicode version that Hugging Face
// `tokenizers` has (normal_form_later_ranges.inc). Time grows as n log n in the longest
// run of combining marks, which utf8proc's own sort does not promise.
std::string normal_form(std::string_view text, NormalForm form);

}  // namespace lmdeploy
