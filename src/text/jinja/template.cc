#include "text/jinja/template.h"

#include "text/jinja/evaluator.h"
#include "text/jinja/parser.h"

namespace lmdeploy::jinja {

struct SyntaxTree {
  Body body;
};

Result<Template> Template::parse(std::string_view source, Limits limits) {
  if (source.size() > limits.max_source_bytes) {
    return invalid_argument("the template has {} bytes; at most {} are accepted", source.size(),
                            limits.max_source_bytes);
  }
  ASSIGN_OR_RETURN(Body body, parse_template(source, limits));
  return Template(std::make_shared<const SyntaxTree>(SyntaxTree{std::move(body)}), limits);
}

Result<std::string> Template::render(std::vector<std::pair<std::string, Value>> variables) const {
  return Evaluator(limits_).render(tree_->body, std::move(variables));
}

}  // namespace lmdeploy::jinja
