// Runs the fuzz function over mutations of the real templates in tests/data.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

// Each fuzz program has one function of this name; the tests of a folder are one program.
#define LLVMFuzzerTestOneInput jinja_fuzz_one_input
#include "tests/fuzz/jinja_fuzz.cc"

namespace lmdeploy {
namespace {

// Words that make a mutated template do something rather than fail to parse.
constexpr const char* kWords[] = {
    "{% for m in messages %}", "{% endfor %}", "{% if ", "{% endif %}", "{{ messages }}", "{%- set x = ",
    " %}", "}}", "{{", "|tojson(indent=4)", "|join", "|map('upper')|list", " * 99999", "[::-1]",
    "loop.last", "namespace(a=[[]])", "range(99999)", "|groupby('role')", "|batch(3)", ".split('')",
    "{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}", "(((((((((", "not ", "~ 'x' * 100", "{#", "#}",
    "{% raw %}", "'\\x", "9999999999999999999", "**", "1e400", "|format(messages)", "{% call f() %}"};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

  std::string mutate(std::string text, const std::string& other) {
    for (uint64_t n = 1 + next() % 6; n > 0; --n) {
      const size_t at = text.empty() ? 0 : next() % text.size();
      const size_t length = next() % 40;
      switch (next() % 5) {
        case 0: text.erase(at, length); break;
        case 1: text.insert(at, kWords[next() % std::size(kWords)]); break;
        case 2: text.insert(at, other.substr(other.empty() ? 0 : next() % other.size(), length)); break;
        case 3: text.insert(at, text.substr(at, length)); break;
        default:
          if (!text.empty()) text[at] = static_cast<char>(next());
      }
    }
    return text;
  }

 private:
  uint64_t state_;
};

TEST(JinjaFuzz, MutatedTemplatesReturn) {
  std::vector<std::string> templates;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(LMDEPLOY_TEST_DATA) + "/chat_templates")) {
    if (entry.path().extension() != ".jinja") continue;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    templates.push_back(text.str());
  }
  ASSERT_GE(templates.size(), 4u);
  Mutator mutator(20240607);
  for (int i = 0; i < 3000; ++i) {
    const std::string& source = templates[mutator.next() % templates.size()];
    const std::string& other = templates[mutator.next() % templates.size()];
    const std::string mutated = mutator.mutate(source, other);
    EXPECT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(mutated.data()), mutated.size()),
              0)
        << mutated;
  }
}

}  // namespace
}  // namespace lmdeploy
