#include "text/pre_tokenizer.h"

#include <span>
#include <utility>

#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

// Single characters for which `test` holds.
template <class Test>
class CharMatcher : public Matcher {
 public:
  explicit CharMatcher(Test test) : test_(test) {}
  bool next(std::string_view text, size_t from, Match& match) const override {
    while (from < text.size()) {
      const DecodedChar c = decode_valid_utf8(text.data() + from);
      if (test_(c.code)) {
        match = {from, from + c.length};
        return true;
      }
      from += c.length;
    }
    return false;
  }

 private:
  Test test_;
};

struct Part {
  size_t begin, end;
  bool is_match;
};

// Joins neighbours as `behavior` says; `parts` cover the text in order.
std::vector<Part> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<Part> out;
  bool after_match = false;
  for (const Part& part : parts) {
    if (part.is_match && !after_match && !out.empty()) {
      out.back().end = part.end;
    } else {
      out.push_back(part);
    }
    after_match = part.is_match;
  }
  return out;
}

std::vector<Part> merge_with_next(const std::vector<Part>& parts) {
  std::vector<Part> out;
  for (size_t i = 0; i < parts.size(); ++i) {
    // The last match of a run joins what follows.
    if (parts[i].is_match && i + 1 < parts.size() && !parts[i + 1].is_match) {
      out.push_back({parts[i].begin, parts[i + 1].end, false});
      ++i;
    } else {
      out.push_back(parts[i]);
    }
  }
  return out;
}

std::vector<Part> merge_equal(const std::vector<Part>& parts) {
  std::vector<Part> out;
  for (const Part& part : parts) {
    if (!out.empty() && out.back().is_match == part.is_match) {
      out.back().end = part.end;
    } else {
      out.push_back(part);
    }
  }
  return out;
}

class Split : public SplitStage {
 public:
  Split(std::unique_ptr<Matcher> matcher, SplitBehavior behavior, bool invert)
      : matcher_(std::move(matcher)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, bool at_start, PieceSink sink) const override {
    const auto emit = [&](size_t begin, size_t end) {
      if (end > begin) sink(text.substr(begin, end - begin), at_start && begin == 0);
    };
    if (behavior_ == SplitBehavior::kIsolated) {
      each_part(text, [&](Part part) { emit(part.begin, part.end); });
    } else if (behavior_ == SplitBehavior::kRemoved) {
      each_part(text, [&](Part part) {
        if (!part.is_match) emit(part.begin, part.end);
      });
    } else {
      for (const Part& part : merged_parts(text)) emit(part.begin, part.end);
    }
  }

 private:
  // The matches and the gaps between them, in order.
  template <class Visit>
  void each_part(std::string_view text, Visit visit) const {
    size_t pos = 0;
    Match match;
    while (pos < text.size() && matcher_->next(text, pos, match)) {
      if (match.begin > pos) visit(Part{pos, match.begin, invert_});
      visit(Part{match.begin, match.end, !invert_});
      pos = match.end;
    }
    if (pos < text.size()) visit(Part{pos, text.size(), invert_});
  }

  std::vector<Part> merged_parts(std::string_view text) const {
    std::vector<Part> parts;
    each_part(text, [&](Part part) { parts.push_back(part); });
    if (behavior_ == SplitBehavior::kMergedWithPrevious) return merge_with_previous(parts);
    if (behavior_ == SplitBehavior::kMergedWithNext) return merge_with_next(parts);
    return merge_equal(parts);
  }

  std::unique_ptr<Matcher> matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

class PrefixSpace : public SplitStage {
 public:
  void split(std::string_view text, bool at_start, PieceSink sink) const override {
    if (text.empty() || text[0] == ' ') {
      sink(text, at_start);
    } else {
      sink(" " + std::string(text), at_start);
    }
  }
};

class Metaspace : public SplitStage {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  void split(std::string_view text, bool at_start, PieceSink sink) const override {
    const std::string marked = mark(text, at_start);
    if (!split_) {
      sink(marked, at_start);
      return;
    }
    size_t begin = 0;
    while (begin < marked.size()) {
      size_t end = marked.find(replacement_, begin + 1);
      if (end == std::string::npos) end = marked.size();
      sink(std::string_view(marked).substr(begin, end - begin), at_start && begin == 0);
      begin = end;
    }
  }

 private:
  std::string mark(std::string_view text, bool at_start) const {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    for (const char c : text) {
      if (c == ' ') {
        out += replacement_;
      } else {
        out += c;
      }
    }
    const bool wanted = scheme_ == PrependScheme::kAlways ||
                        (scheme_ == PrependScheme::kFirst && at_start);
    if (wanted && !out.starts_with(replacement_)) out.insert(0, replacement_);
    return out;
  }

  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

template <class Test>
std::unique_ptr<SplitStage> make_char_split(Test test, SplitBehavior behavior) {
  return make_split(std::make_unique<CharMatcher<Test>>(test), behavior, false);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && (CharClasses::get().of(c) & (kLetter | kNumber)) == 0;
  return (CharClasses::get().of(c) & kPunctuation) != 0;
}

}  // namespace

std::unique_ptr<SplitStage> make_split(std::unique_ptr<Matcher> matcher, SplitBehavior behavior,
                                       bool invert) {
  return std::make_unique<Split>(std::move(matcher), behavior, invert);
}

std::unique_ptr<SplitStage> make_digits(bool individual) {
  const auto behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  return make_char_split([](char32_t c) { return CharClasses::get().is_digit(c); }, behavior);
}

std::unique_ptr<SplitStage> make_punctuation(SplitBehavior behavior) {
  return make_char_split(is_punctuation, behavior);
}

std::unique_ptr<SplitStage> make_prefix_space() { return std::make_unique<PrefixSpace>(); }

std::unique_ptr<SplitStage> make_metaspace(std::string replacement, PrependScheme scheme,
                                           bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}

void PreTokenizer::run_from(size_t stage, std::string_view text, bool at_start,
                            PieceSink sink) const {
  if (stage == stages_.size()) {
    sink(text, at_start);
    return;
  }
  stages_[stage]->split(text, at_start, [&](std::string_view piece, bool piece_at_start) {
    run_from(stage + 1, piece, piece_at_start, sink);
  });
}

}  // namespace lmdeploy
