// Arguments: the command tree and its options. The one place that knows CLI11; its exceptions end
// here. Underscores and dashes are the same in option names, `--flag True` is `--flag`, the last of
// several values wins, an unknown option or command is an error with the nearest name.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/status.h"

namespace lmdeploy::cli {

// One command of the tree. Copies refer to the same command; destinations are borrowed and must
// outlive parse_and_run().
class Command {
 public:
  // The root; `version` is what --version prints.
  static Command root(std::string name, std::string description, std::string version);

  Command subcommand(const std::string& name, const std::string& description);
  // A command of the documents that this version does not have: says so and exits with 2.
  void not_in_this_version(const std::string& name, const std::string& instead);
  // An older spelling: `word` right after this command's name stands for `arguments`.
  void older_spelling(const std::string& word, std::vector<std::string> arguments);

  // A required word.
  void positional(const std::string& name, const std::string& help, std::string& value);

  void operator()(const OptionInfo& info, bool& value);
  void operator()(const OptionInfo& info, int& value);
  void operator()(const OptionInfo& info, int64_t& value);
  void operator()(const OptionInfo& info, double& value);
  void operator()(const OptionInfo& info, std::string& value);
  void operator()(const OptionInfo& info, std::vector<std::string>& value);
  void operator()(const OptionInfo& info, std::optional<int64_t>& value);
  void operator()(const OptionInfo& info, std::optional<double>& value);
  void operator()(const OptionInfo& info, std::optional<std::string>& value);

  // Every field that Options::describe names.
  template <class Options>
  void options(Options& options) {
    Options::describe(*this, options);
  }

  // What the command does; its result is the exit status. A command without an action prints its
  // help.
  void run(std::function<int()> action);

  // Parses and runs the chosen command. Usage errors print to stderr and give 2, --help 0.
  int parse_and_run(int argc, const char* const* argv);

 private:
  struct Node;
  explicit Command(std::shared_ptr<Node> node) : node_(std::move(node)) {}
  std::shared_ptr<Node> node_;
};

}  // namespace lmdeploy::cli
