#include "text/normalizer.h"

#include <utf8proc.h>

#include <utility>

#include "base/utf8.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

class Replace : public NormalizerStep {
 public:
  Replace(std::unique_ptr<Matcher> matcher, std::string content)
      : matcher_(std::move(matcher)), content_(std::move(content)) {}

  void apply(std::string& text) const override {
    std::string out;
    size_t pos = 0;
    Match match;
    while (matcher_->next(text, pos, match)) {
      out.append(text, pos, match.begin - pos);
      out += content_;
      pos = match.end;
    }
    if (pos == 0 && out.empty()) return;
    out.append(text, pos);
    text = std::move(out);
  }

 private:
  std::unique_ptr<Matcher> matcher_;
  std::string content_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Lowercase : public NormalizerStep {
 public:
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
      const DecodedChar c = decode_valid_utf8(text.data() + pos);
      pos += c.length;
      utf8_append(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code))));
      if (c.code == 0x130) utf8_append(out, 0x307);  // the one letter that becomes two
    }
    text = std::move(out);
  }
};

class StripAccents : public NormalizerStep {
 public:
  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) {
      const DecodedChar c = decode_valid_utf8(text.data() + pos);
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.code));
      if (category != UTF8PROC_CATEGORY_MN) out.append(text, pos, c.length);
      pos += c.length;
    }
    text = std::move(out);
  }
};

bool is_space(char32_t c) { return (CharClasses::get().of(c) & kSpace) != 0; }

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  void apply(std::string& text) const override {
    size_t begin = 0, end = 0;  // of what is kept
    bool inside = !left_;
    for (size_t pos = 0; pos < text.size();) {
      const DecodedChar c = decode_valid_utf8(text.data() + pos);
      const bool space = is_space(c.code);
      if (!inside && !space) {
        inside = true;
        begin = pos;
      }
      pos += c.length;
      if (inside && (!space || !right_)) end = pos;
    }
    text = inside && end > begin ? text.substr(begin, end - begin) : std::string();
  }

 private:
  bool left_, right_;
};

}  // namespace

std::unique_ptr<NormalizerStep> make_replace(std::unique_ptr<Matcher> matcher, std::string content) {
  return std::make_unique<Replace>(std::move(matcher), std::move(content));
}

std::unique_ptr<NormalizerStep> make_prepend(std::string prefix) {
  return std::make_unique<Prepend>(std::move(prefix));
}

std::unique_ptr<NormalizerStep> make_lowercase() { return std::make_unique<Lowercase>(); }

std::unique_ptr<NormalizerStep> make_strip(bool left, bool right) {
  return std::make_unique<Strip>(left, right);
}

std::unique_ptr<NormalizerStep> make_strip_accents() { return std::make_unique<StripAccents>(); }

}  // namespace lmdeploy
