#include "text/jinja/template.h"

#include <gtest/gtest.h>

namespace lmdeploy::jinja {
namespace {

std::string render(std::string_view source) {
  Result<Template> parsed = Template::parse(source);
  if (!parsed.ok()) return "parse error: " + parsed.status().message();
  Result<std::string> text = parsed->render({});
  return text.ok() ? *text : "error: " + text.status().message();
}

TEST(JinjaTemplate, PrintsExpressions) {
  EXPECT_EQ(render("a{{ 1 + 2 * 3 }}b"), "a7b");
}

}  // namespace
}  // namespace lmdeploy::jinja
