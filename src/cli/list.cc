// lmdeploy list: names that --chat-template accepts.

#include <cstdio>

#include "cli/program.h"
#include "text/builtin_templates.h"

namespace lmdeploy::cli {

namespace {

struct ListOptions {
  bool json = false;
  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "json", .help = "print a JSON list"}, self.json);
  }
};

int list_templates(const ListOptions& options) {
  const std::vector<std::string> names = list_builtin_templates();
  std::string out = options.json ? "[" : "The built-in chat templates:\n";
  for (const std::string& name : names) {
    out += options.json ? fmt::format("{}\"{}\"", out.size() > 1 ? ", " : "", name) : name + "\n";
  }
  std::fputs((out + (options.json ? "]\n" : "")).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void add_list(Command& root) {
  Command command = root.subcommand("list", "List the built-in chat templates.");
  auto options = std::make_shared<ListOptions>();
  command.options(*options);
  command.run([options] { return list_templates(*options); });
}

}  // namespace lmdeploy::cli
