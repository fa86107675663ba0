// lmdeploy list: names that --chat-template accepts.

#include <cstdio>

#include "cli/compat_options.h"
#include "cli/program.h"
#include "text/builtin_templates.h"

namespace lmdeploy::cli {

namespace {

struct ListOptions {
  bool json = false;
  ListCompatOptions compat;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "json", .help = "print a JSON list"}, self.json);
  }
};

int list_templates(const ListOptions& options) {
  const Result<Logger> logger = make_logger({});
  if (!logger.ok()) return report_failure(logger.status());
  const Status compatible = check_compat_options(options.compat, *logger);
  if (!compatible.ok()) return report_failure(compatible);
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
  command.options(options->compat);
  command.run([options] { return list_templates(*options); });
}

}  // namespace lmdeploy::cli
