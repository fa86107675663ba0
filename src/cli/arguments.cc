#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "base/edit_distance.h"
#include "cli/command_line.h"

namespace lmdeploy::cli {

struct Command::Node {
  CLI::App* app = nullptr;
  Node* root = nullptr;
  // Of the root alone:
  std::unique_ptr<CLI::App> owned;
  int exit_status = 0;
  CommandLineSpellings spellings;
};

namespace {

constexpr size_t kHelpColumn = 30, kHelpWidth = 68;
constexpr int kUsage = 2;

std::string command_path(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : command_path(*parent) + " " + app.get_name();
}

std::vector<std::string> words_of_path(const CLI::App& app) {
  if (app.get_parent() == nullptr) return {};
  std::vector<std::string> words = words_of_path(*app.get_parent());
  words.push_back(app.get_name());
  return words;
}

std::string flag_names(const OptionInfo& info) {
  std::string names = fmt::format("--{}", info.name);
  for (const std::string alias : info.aliases) {
    names += (alias.size() == 1 ? ",-" : ",--") + alias;
  }
  return names;
}

std::string joined(const std::vector<const char*>& choices) {
  std::string out;
  for (const std::string_view choice : choices) {
    if (!choice.empty()) out += (out.empty() ? "" : ", ") + std::string(choice);
  }
  return out;
}

// `text` in lines of at most kHelpWidth, broken at spaces.
std::string wrapped(std::string_view text) {
  std::string out;
  size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (column > 0 && column + 1 + word.size() > kHelpWidth) {
      out += '\n';
      column = 0;
    }
    if (column > 0) out += ' ';
    out += word;
    column += word.size() + (column > 0 ? 1 : 0);
  }
  return out;
}

template <class T>
std::string default_text(const T& value) {
  if constexpr (requires { value.has_value(); }) {
    return value ? default_text(*value) : "";
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "on" : "";
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    return fmt::format("{}", fmt::join(value, " "));
  } else {
    return fmt::format("{}", value);
  }
}

template <class T>
std::string help_text(const OptionInfo& info, const T& value) {
  std::string text = info.help;
  if (!info.choices.empty()) text += fmt::format(" {{{}}}", joined(info.choices));
  if (const std::string shown = default_text(value); !shown.empty()) {
    text += fmt::format(" (default: {})", shown);
  }
  if (*info.notice != '\0') text += fmt::format(" [no effect: {}]", info.notice);
  if (*info.refusal != '\0') text += fmt::format(" [not in this version: {}]", info.refusal);
  return wrapped(text);
}

template <class T>
CLI::Option* add(CLI::App& app, CommandLineSpellings& spellings, const OptionInfo& info, T& value,
                 const char* type) {
  for (const std::string alias : info.aliases) {
    if (alias.size() == 2) spellings.short_words.insert("-" + alias);
  }
  CLI::Option* option = nullptr;
  if constexpr (std::is_same_v<T, std::optional<std::string>>) {
    // CLI11 reads an empty text as no text.
    option = app.add_option_function<std::string>(
        flag_names(info), [&value](const std::string& given) { value = given; },
        help_text(info, value));
  } else {
    option = app.add_option(flag_names(info), value, help_text(info, value));
  }
  option->type_name(*info.value_name != '\0' ? info.value_name : type);
  if (*info.group != '\0') option->group(info.group);
  if constexpr (!std::is_same_v<T, std::vector<std::string>>) option->take_last();
  if (!info.choices.empty()) {
    option->check([choices = info.choices](const std::string& given) {
      const bool known = std::find(choices.begin(), choices.end(), given) != choices.end();
      return known ? "" : fmt::format("'{}' is not one of {}", given, joined(choices));
    });
  }
  return option;
}

const CLI::App& deepest_parsed(const CLI::App& app) {
  for (const CLI::App* child : app.get_subcommands()) return deepest_parsed(*child);
  return app;
}

std::string unknown_argument(const CLI::App& app, const std::string& argument) {
  std::vector<std::string> known;
  if (argument.starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* child : app.get_subcommands({})) known.push_back(child->get_name());
  }
  const std::string bare = argument.substr(0, argument.find('='));
  const std::string nearest = nearest_name(bare, known);
  const char* kind = argument.starts_with("-") ? "option" : known.empty() ? "argument" : "command";
  return fmt::format("unknown {} '{}'{}", kind, bare,
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

int usage_error(const CLI::App& app, const std::string& message) {
  const std::string path = command_path(app);
  std::fprintf(stderr, "%s: %s\nSee '%s --help'.\n", path.c_str(), message.c_str(), path.c_str());
  return kUsage;
}

int print_help(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  std::fputs(app.help(parent == nullptr ? "" : command_path(*parent)).c_str(), stdout);
  return 0;
}

// "Could not convert: --tp = x" in the words of the other errors.
std::string conversion_problem(const CLI::ConversionError& error) {
  const std::string_view text = error.what();
  const size_t colon = text.find(": ");
  const std::string_view option = colon == std::string_view::npos ? text : text.substr(colon + 2);
  return fmt::format("{}: expected a number", option);
}

}  // namespace

Command Command::root(std::string name, std::string description, std::string version) {
  auto node = std::make_shared<Node>();
  node->owned = std::make_unique<CLI::App>(std::move(description), std::move(name));
  node->app = node->owned.get();
  node->root = node.get();
  node->app->set_version_flag("-v,--version", std::move(version), "print the version");
  node->app->require_subcommand(0, 1);
  node->app->set_help_flag("-h,--help", "print this help");
  node->app->get_formatter()->column_width(kHelpColumn);
  Command command(node);
  command.run([app = node->app] { return print_help(*app); });
  return command;
}

Command Command::subcommand(const std::string& name, const std::string& description) {
  auto node = std::make_shared<Node>();
  node->root = node_->root;
  node->app = node_->app->add_subcommand(name, description);
  node->app->require_subcommand(0, 1);
  Command command(node);
  command.run([app = node->app] { return print_help(*app); });
  return command;
}

void Command::not_in_this_version(const std::string& name, const std::string& instead) {
  Command command = subcommand(name, "not in this version: " + instead);
  command.node_->app->allow_extras();
  command.node_->app->set_help_flag("");
  command.run([app = command.node_->app, instead] {
    std::fprintf(stderr, "%s: not in this version; %s\n", command_path(*app).c_str(),
                 instead.c_str());
    return kUsage;
  });
}

void Command::older_spelling(const std::string& word, std::vector<std::string> arguments) {
  std::vector<std::string> newer = words_of_path(*node_->app), older = newer;
  older.push_back(word);
  newer.insert(newer.end(), arguments.begin(), arguments.end());
  node_->root->spellings.older[older] = newer;
}

void Command::positional(const std::string& name, const std::string& help, std::string& value) {
  node_->app->add_option(name, value, help)->type_name("")->required();
}

void Command::operator()(const OptionInfo& info, bool& value) {
  // --no-X exists for flags that are on by default.
  const std::string names =
      value ? flag_names(info) + fmt::format(",!--no-{}", info.name) : flag_names(info);
  CLI::Option* option = node_->app->add_flag(names, value, help_text(info, value));
  if (*info.group != '\0') option->group(info.group);
  for (const std::string& name : option->get_lnames()) {
    node_->root->spellings.flags.insert("--" + name);
  }
}
void Command::operator()(const OptionInfo& info, int& value) { add(*node_->app, node_->root->spellings, info, value, "N"); }
void Command::operator()(const OptionInfo& info, int64_t& value) {
  add(*node_->app, node_->root->spellings, info, value, "N");
}
void Command::operator()(const OptionInfo& info, double& value) {
  add(*node_->app, node_->root->spellings, info, value, "X");
}
void Command::operator()(const OptionInfo& info, std::string& value) {
  add(*node_->app, node_->root->spellings, info, value, "TEXT");
}
void Command::operator()(const OptionInfo& info, std::vector<std::string>& value) {
  add(*node_->app, node_->root->spellings, info, value, "TEXT ...")->expected(0, 1 << 20);
}
void Command::operator()(const OptionInfo& info, std::optional<int64_t>& value) {
  add(*node_->app, node_->root->spellings, info, value, "N");
}
void Command::operator()(const OptionInfo& info, std::optional<double>& value) {
  add(*node_->app, node_->root->spellings, info, value, "X");
}
void Command::operator()(const OptionInfo& info, std::optional<std::string>& value) {
  add(*node_->app, node_->root->spellings, info, value, "TEXT");
}

void Command::run(std::function<int()> action) {
  node_->app->final_callback([root = node_->root, app = node_->app, action = std::move(action)] {
    // A parent's action is for the case that none of its subcommands was named.
    if (app->get_subcommands().empty()) root->exit_status = action();
  });
}

int Command::parse_and_run(int argc, const char* const* argv) {
  CLI::App& app = *node_->app;
  std::vector<std::string> arguments = normalize_command_line(
      std::vector<std::string>(argv + std::min(argc, 1), argv + argc), node_->root->spellings);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ExtrasError&) {
    const CLI::App& command = deepest_parsed(app);
    return usage_error(command, unknown_argument(command, app.remaining(true).front()));
  } catch (const CLI::RequiredError& error) {
    // A misspelt option is the more helpful thing to say.
    const CLI::App& command = deepest_parsed(app);
    const std::vector<std::string> extras = app.remaining(true);
    return usage_error(command,
                       extras.empty() ? error.what() : unknown_argument(command, extras.front()));
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ConversionError& error) {
    return usage_error(deepest_parsed(app), conversion_problem(error));
  } catch (const CLI::ArgumentMismatch& error) {
    const std::string_view text = error.what();
    return usage_error(deepest_parsed(app),
                       fmt::format("{} needs a value", text.substr(0, text.find(':'))));
  } catch (const CLI::ParseError& error) {
    return usage_error(deepest_parsed(app), error.what());
  }
  return node_->exit_status;
}

}  // namespace lmdeploy::cli
