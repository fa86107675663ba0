#include "text/jinja/template.h"

#include <gtest/gtest.h>

namespace lmdeploy::jinja {
namespace {

std::string render(std::string_view source, const char* variables = "{}", Limits limits = {}) {
  const Result<Template> parsed = Template::parse(source, limits);
  if (!parsed.ok()) return "parse error: " + parsed.status().message();
  const json::value values = parse_json(variables, "variables").value();
  std::vector<std::pair<std::string, Value>> given;
  for (const auto& [name, value] : values.as_object()) {
    given.emplace_back(std::string(name), Value::from_json(value));
  }
  const Result<std::string> text = parsed->render(std::move(given));
  return text.ok() ? *text : "error: " + text.status().message();
}

TEST(JinjaTemplate, PrintsExpressionsAsPython) {
  EXPECT_EQ(render("{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }}"),
            "7 3 -4 2 1024 3.5");
  EXPECT_EQ(render("{{ 1.0 }} {{ 1e16 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e15 }}"),
            "1.0 1e+16 0.0001 1e-05 1000000000000000.0");
  EXPECT_EQ(render("{{ x }}", R"({"x": {"a": [1, 2.5, null, true, "q'\"\n\u00e9"]}})"),
            "{'a': [1, 2.5, None, True, 'q\\'\"\\né']}");
  EXPECT_EQ(render("{{ 1 < 2 < 3 }} {{ 'b' in 'abc' }} {{ 1 not in [2] }} {{ 'a' ~ 1 ~ none }}"),
            "True True True a1None");
  EXPECT_EQ(render("{{ 'abcdef'[::-2] }} {{ [1,2,3][-2:] }} {{ 'é世界'[1] }}"), "fdb [2, 3] 世");
}

TEST(JinjaTemplate, WhiteSpaceIsTrimmedAsTransformersDoes) {
  EXPECT_EQ(render("a\n  {% if true %}\n b\n  {% endif %}\nc\n"), "a\n b\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif +%}\n c"), "ab\n c");
  EXPECT_EQ(render("a\n  {%+ if true %}b{% endif %}"), "a\n  b");
  EXPECT_EQ(render("{# note #}\nx {{- 1 -}} y"), "x1y");
  EXPECT_EQ(render("{% raw %}{{ x }}{% endraw %}"), "{{ x }}");
}

TEST(JinjaTemplate, LoopsScopesAndMacros) {
  EXPECT_EQ(render("{% for i in range(5) if i != 1 %}{% if i == 4 %}{% break %}{% endif %}"
                   "{{ i }}{{ ',' if not loop.last }}{% endfor %}"),
            "0,2,3,");
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(render("{% set ns = namespace(x=1) %}{% for i in [1] %}{% set ns.x = 2 %}{% endfor %}"
                   "{{ ns.x }}"),
            "2");
  EXPECT_EQ(render("{% macro m(a, b='B') %}{{ a }}{{ b }}{{ caller() if caller }}{% endmacro %}"
                   "{{ m(1) }}{{ m(b=2, a=3) }}{% call m(4) %}!{% endcall %}"),
            "1B324B!");
  EXPECT_EQ(render("{% for n in t recursive %}{{ n.v }}{% if n.c %}({{ loop(n.c) }}){% endif %}"
                   "{% endfor %}",
                   R"({"t": [{"v": 1, "c": [{"v": 2}]}, {"v": 3}]})"),
            "1(2)3");
}

TEST(JinjaTemplate, JsonIsWrittenAsTransformersDoes) {
  EXPECT_EQ(render("{{ x | tojson }}", R"({"x": {"b": "<é>", "a": [1, 1.0, null, true]}})"),
            R"({"b": "<é>", "a": [1, 1.0, null, true]})");
  EXPECT_EQ(render("{{ x | tojson(indent=2, sort_keys=true) }}", R"({"x": {"b": [], "a": [1]}})"),
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": []\n}");
  EXPECT_EQ(render("{{ 'é\\U0001F642' | tojson(ensure_ascii=true) }}"), "\"\\u00e9\\ud83d\\ude42\"");
}

TEST(JinjaTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(render("a\n{{ x.y }}"), "error: line 2: 'x' is undefined");
  EXPECT_EQ(render("a\n\n{{ messages[0].content.strip() }}", R"({"messages": [{}]})"),
            "error: line 3: 'dict object' has no attribute 'content'");
  EXPECT_EQ(render("{{ missing }}|{{ messages[0].x }}", R"({"messages": [{}]})"), "|");
  EXPECT_EQ(render("\n{% include 'x' %}"),
            "parse error: line 2: 'include' needs other templates; a chat template is one file");
  EXPECT_EQ(render("{% if x %}\n"),
            "parse error: line 1: the template ends where '{% endif %}' was expected");
  EXPECT_EQ(render("{{ raise_exception('no ' ~ 1) }}"),
            "error: the chat template refused the conversation: no 1");
}

TEST(JinjaTemplate, TheSandboxHolds) {
  EXPECT_EQ(render("{{ [].append(1) }}"),
            "error: line 1: 'append' of 'list' would change it, which a template may not");
  EXPECT_EQ(render("{{ ''.__class__ }}"), "");
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns._x = 1 %}"),
            "error: line 1: a namespace cannot hold '_x', which starts with an underscore");
  EXPECT_EQ(render("{{ ''.__class__.__mro__ }}"),
            "error: line 1: 'str object' has no attribute '__class__'");
}

struct BoundCase {
  const char* name;
  const char* source;
  const char* message;
};

class JinjaBounds : public testing::TestWithParam<BoundCase> {};

TEST_P(JinjaBounds, ExceedingOneIsAnErrorThatNamesIt) {
  Limits limits;
  limits.max_steps = 3'000'000;
  limits.max_memory_bytes = size_t{64} << 20;
  limits.max_output_bytes = size_t{4} << 20;
  limits.max_seconds = 1000;
  const std::string text = render(GetParam().source, "{}", limits);
  EXPECT_NE(text.find(GetParam().message), std::string::npos) << text.substr(0, 300);
}

INSTANTIATE_TEST_SUITE_P(
    All, JinjaBounds,
    testing::Values(
        BoundCase{"steps",
                  "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
                  "steps"},
        BoundCase{"output", "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "writes more than"},
        BoundCase{"repeat", "{{ 'x' * 999999999999 }}", "memory"},
        BoundCase{"replace", "{% set s = 'x' * 1000000 %}{{ s.replace('x', s) }}", "memory"},
        BoundCase{"join", "{% set s = 'x' * 10000000 %}{{ range(999) | join(s) }}", "memory"},
        BoundCase{"split", "{{ ('a,' * 4000000).split(',') }}", "memory"},
        BoundCase{"splitlines", "{{ ('\n' * 4000000).splitlines() }}", "memory"},
        BoundCase{"indent", "{{ ('\n' * 400000) | indent(1000, blank=true) }}", "memory"},
        BoundCase{"list_repeat", "{{ ([1] * 99999999) | length }}", "memory"},
        BoundCase{"percent", "{% set s = 'x' * 9000000 %}{{ '%s%s%s%s%s%s%s%s' % (s,s,s,s,s,s,s,s) }}", "memory"},
        BoundCase{"brace", "{% set s = 'x' * 9000000 %}{{ '{0}{0}{0}{0}{0}{0}{0}{0}'.format(s) }}", "memory"},
        BoundCase{"nested_loops_over_a_string",
                  "{% set s = 'x' * 100000 %}{% for a in s %}{% for b in s %}{% for c in s %}"
                  "{% for d in s %}{% for e in s %}{% for f in s %}{% for g in s %}{% endfor %}{% endfor %}"
                  "{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
                  "memory"},
        BoundCase{"searches", "{% set s = 'x' * 9000000 %}{% for i in range(999) %}{{ s.find('xy') }}{% endfor %}",
                  "steps"},
        BoundCase{"doubling",
                  "{% set ns = namespace(s='x') %}{% for i in range(99) %}"
                  "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
                  "memory"},
        BoundCase{"shared_lists",
                  "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}"
                  "{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
                  "holds more than"},
        BoundCase{"nested_lists",
                  "{% set ns = namespace(s=[1]) %}{% for i in range(9999) %}"
                  "{% set ns.s = [ns.s] %}{% endfor %}",
                  "nests deeper"},
        BoundCase{"nested_joiners",
                  "{% set ns = namespace(s='a') %}{% for i in range(9999) %}"
                  "{% set ns.s = joiner(ns.s) %}{% endfor %}",
                  "nests deeper"},
        BoundCase{"namespace_of_itself",
                  "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = [ns] %}{{ ns }}",
                  "nests deeper"},
        BoundCase{"macro_recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself"},
        BoundCase{"macro_chain",
                  "{% set ns = namespace() %}{% macro f() %}{% macro g() %}{% endmacro %}"
                  "{% set ns.f = g %}{% endmacro %}"
                  "{% macro grow(h) %}{% macro k() %}{{ h }}{% endmacro %}{% set ns.f = k %}{% endmacro %}"
                  "{% for i in range(5000) %}{{ grow(ns.f) }}{% endfor %}{{ 'x' * 999999999 }}",
                  "memory"},
        BoundCase{"range", "{% for i in range(100001) %}{% endfor %}", "range has more than"},
        BoundCase{"width", "{{ '%999999999d' % 1 }}", "more than"},
        BoundCase{"integers", "{{ 9223372036854775807 + 1 }}", "64 bits"},
        BoundCase{"power", "{{ 10 ** 99 }}", "64 bits"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JinjaTemplate, StringsAreSearchedAndCutAsPythonDoes) {
  EXPECT_EQ(render("{{ 'abab'.find('b') }} {{ 'abab'.rfind('b') }} {{ 'abab'.find('x') }} "
                   "{{ 'abab'.find('') }} {{ 'abab'.rfind('') }} {{ 'aXé'.index('é') }} "
                   "{{ 'aaaa'.count('aa') }} {{ 'abab'.rfind('b', 0, 3) }}"),
            "1 3 -1 0 4 2 2 1");
  EXPECT_EQ(render("{{ 'a,b,c'.split(',') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a,b,c'.split(',', 1) }} "
                   "{{ ' a  b '.split() }} {{ ' a  b c '.rsplit(none, 1) }} {{ ' a  b c '.split(none, 1) }}"),
            "['a', 'b', 'c'] ['a,b', 'c'] ['a', 'b,c'] ['a', 'b'] [' a  b', 'c'] ['a', 'b c ']");
  EXPECT_EQ(render("{{ 'aaa'.rsplit('aa') }} {{ 'aaa'.split('aa') }} {{ 'abcab'.rpartition('ab') }} "
                   "{{ 'abcab'.partition('x') }}"),
            "['a', ''] ['', 'a'] ('abc', 'ab', '') ('abcab', '', '')");
  EXPECT_EQ(render("{{ 'ééxéy世'.strip('é世y') }}|{{ 'aab'.lstrip('a') }}|{{ 'aab'.rstrip('ab') }}|"
                   "{{ 'abc'.strip('') }}"),
            "x|b||abc");
  EXPECT_EQ(render("{{ 'aXbXc'.replace('X', '--', 1) }} {{ 'ab'.replace('', '.') }} "
                   "{{ 'b' in 'abc' }} {{ '' in 'a' }} {{ 'bd' in 'abc' }}"),
            "a--bXc .a.b. True True False");
  EXPECT_EQ(render("{{ 'a\nb\r\nc'.splitlines() }}{{ 'a\n\nb' | indent(2) }}"),
            "['a', 'b', 'c']a\n\n  b");
}

// Without linear searches each of these would take minutes.
TEST(JinjaTemplate, HostileStringsEndSoon) {
  for (const char* call : {"a.find(b)", "a.rfind(c)", "a.count(b)", "a.replace(b, 'x') | length",
                           "a.split(b) | length", "a.rsplit(c) | length", "b in a",
                           "a.strip(chars) | length", "a.partition(b) | length", "a.startswith((b,) * 9)"}) {
    const std::string source = std::string("{% set a = 'a' * 1000000 %}{% set b = 'a' * 500000 ~ 'b' %}"
                                           "{% set c = 'b' ~ 'a' * 500000 %}{% set chars = 'xyza' * 100000 %}"
                                           "{{ ") + call + " }}";
    EXPECT_EQ(render(source).find("error"), std::string::npos) << call << render(source).substr(0, 100);
  }
}

TEST(JinjaTemplate, WidthsAtTheEndsOfTheIntegersAreNoOverflow) {
  const std::string least = "(-9223372036854775807 - 1)";
  for (const char* call : {"'x'.ljust(W)", "'x'.rjust(W)", "'x'.center(W)", "'x'.zfill(W)", "'x' | center(W)",
                           "'x'.expandtabs(W)", "'x' | indent(W)", "'xyz'[W:]", "'xyz'[:W:-1]"}) {
    std::string source = call;
    source.replace(source.find('W'), 1, least);
    EXPECT_EQ(render("{{ " + source + " }}").find("error"), std::string::npos) << call;
  }
  EXPECT_NE(render("{{ 'xyz' | truncate(" + least + ") }}").find("truncate needs"), std::string::npos);
  EXPECT_NE(render("{{ 'x'.ljust(9223372036854775807) }}").find("error"), std::string::npos);
  EXPECT_NE(render("{{ 'x\ty'.expandtabs(9223372036854775807) }}").find("memory"), std::string::npos);
}

TEST(JinjaTemplate, ASourceOfTooManyTokensIsRefused) {
  std::string list = "{{ [1";
  for (int i = 0; i < 1'000'000; ++i) list += ",1";
  EXPECT_EQ(render(list + "] }}"), "parse error: line 1: the template has more than 400000 tokens");
  std::string tags;
  for (int i = 0; i < 200'000; ++i) tags += "{{1}}";
  EXPECT_NE(render(tags).find("more than 400000 tokens"), std::string::npos);
}

TEST(JinjaTemplate, DeepSourcesAreRefused) {
  for (const char* unit : {"(", "[", "{1:", "not ", "-", "{% if 1 %}", "a[", "f("}) {
    std::string source = unit[0] == '{' && unit[1] == '%' ? "" : "{{ ";
    for (int i = 0; i < 100000; ++i) source += unit;
    EXPECT_NE(render(source).find("parse error"), std::string::npos) << unit;
  }
  std::string sum = "{{ 1";
  for (int i = 0; i < 100000; ++i) sum += "+1";
  EXPECT_NE(render(sum + " }}").find("deeper than"), std::string::npos);
  std::string elifs = "{% if 0 %}";
  for (int i = 0; i < 5000; ++i) elifs += "{% elif 0 %}";
  EXPECT_EQ(render(elifs + "{% else %}y{% endif %}"), "y");
}

}  // namespace
}  // namespace lmdeploy::jinja
