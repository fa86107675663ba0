#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "base/edit_distance.h"

namespace lmdeploy::cli {

struct Command::Node {
  std::unique_ptr<CLI::App> owned;  // of the root
  CLI::App* app = nullptr;
  std::shared_ptr<Node> root;
  int exit_status = 0;              // of the root
};

namespace {

std::string flag_names(const OptionInfo& info) {
  std::string names = fmt::format("--{}", info.name);
  for (const char* alias : info.aliases) {
    names += std::string_view(alias).size() == 1 ? fmt::format(",-{}", alias) : fmt::format(",--{}", alias);
  }
  return names;
}

std::string help_text(const OptionInfo& info) {
  std::string text = info.help;
  if (!info.choices.empty()) {
    text += " {";
    for (size_t i = 0; i < info.choices.size(); ++i) {
      if (*info.choices[i] == '\0') continue;
      text += (text.back() == '{' ? "" : ", ") + std::string(info.choices[i]);
    }
    text += "}";
  }
  if (*info.notice != '\0') text += fmt::format(" [accepted: {}]", info.notice);
  if (*info.refusal != '\0') text += fmt::format(" [not in this version: {}]", info.refusal);
  return text;
}

template <class T>
CLI::Option* add(CLI::App& app, const OptionInfo& info, T& value, const char* type) {
  CLI::Option* option = app.add_option(flag_names(info), value, help_text(info));
  option->type_name(*info.value_name != '\0' ? info.value_name : type);
  if (*info.group != '\0') option->group(info.group);
  if (!info.choices.empty()) {
    option->check([choices = info.choices](const std::string& given) {
      for (const char* choice : choices) {
        if (given == choice) return std::string();
      }
      std::string known;
      for (const char* choice : choices) known += (known.empty() ? "" : ", ") + std::string(choice);
      return fmt::format("'{}' is not one of {}", given, known);
    });
  }
  return option;
}

// --session_len=8 -> --session-len=8; "--ssl True" -> "--ssl=true". Everything after a lone "--" stays.
std::vector<std::string> normalize(int argc, char** argv) {
  std::vector<std::string> out;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--") {
      out.insert(out.end(), argv + i, argv + argc);
      break;
    }
    if ((argument == "True" || argument == "False") && !out.empty() && out.back().starts_with("--") &&
        out.back().find('=') == std::string::npos) {
      out.back() += argument == "True" ? "=true" : "=false";
      continue;
    }
    if (argument.starts_with("--")) {
      const size_t name_end = std::min(argument.find('='), argument.size());
      std::replace(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(name_end), '_', '-');
    }
    out.push_back(std::move(argument));
  }
  return out;
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
  return fmt::format("unknown {} '{}'{}", argument.starts_with("-") ? "option" : "argument", bare,
                     nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

}  // namespace

Command Command::root(std::string name, std::string description, std::string version) {
  auto node = std::make_shared<Node>();
  node->owned = std::make_unique<CLI::App>(std::move(description), std::move(name));
  node->app = node->owned.get();
  node->app->set_version_flag("-v,--version", std::move(version), "print the version");
  node->app->require_subcommand(0, 1);
  node->app->set_help_flag("-h,--help", "print this help");
  node->app->option_defaults()->always_capture_default();
  return Command(node);
}

Command Command::subcommand(const std::string& name, const std::string& description) {
  auto node = std::make_shared<Node>();
  node->root = node_->root ? node_->root : node_;
  node->app = node_->app->add_subcommand(name, description);
  node->app->option_defaults()->always_capture_default();
  node->app->require_subcommand(0, 1);
  return Command(node);
}

void Command::not_in_this_version(const std::string& name, const std::string& instead) {
  Command command = subcommand(name, "not in this version");
  command.node_->app->allow_extras();
  command.node_->app->set_help_flag("");
  const std::string full = node_->app->get_name() + " " + name;
  command.run([full, instead] {
    std::fprintf(stderr, "%s: not in this version%s%s\n", full.c_str(), instead.empty() ? "" : "; ", instead.c_str());
    return 2;
  });
}

void Command::positional(const std::string& name, const std::string& help, std::string& value, bool required) {
  CLI::Option* option = node_->app->add_option(name, value, help);
  option->type_name("")->always_capture_default(false);
  if (required) option->required();
}

void Command::operator()(const OptionInfo& info, bool& value) {
  // --no-X exists for flags that are on by default.
  const std::string names = value ? flag_names(info) + fmt::format(",!--no-{}", info.name) : flag_names(info);
  CLI::Option* option = node_->app->add_flag(names, value, help_text(info));
  if (*info.group != '\0') option->group(info.group);
}
void Command::operator()(const OptionInfo& info, int& value) { add(*node_->app, info, value, "N"); }
void Command::operator()(const OptionInfo& info, int64_t& value) { add(*node_->app, info, value, "N"); }
void Command::operator()(const OptionInfo& info, double& value) { add(*node_->app, info, value, "X"); }
void Command::operator()(const OptionInfo& info, std::string& value) { add(*node_->app, info, value, "TEXT"); }
void Command::operator()(const OptionInfo& info, std::vector<std::string>& value) {
  add(*node_->app, info, value, "TEXT ...")->expected(0, 1 << 20);
}
void Command::operator()(const OptionInfo& info, std::optional<int64_t>& value) { add(*node_->app, info, value, "N"); }
void Command::operator()(const OptionInfo& info, std::optional<double>& value) { add(*node_->app, info, value, "X"); }
void Command::operator()(const OptionInfo& info, std::optional<std::string>& value) {
  add(*node_->app, info, value, "TEXT");
}

void Command::run(std::function<int()> action) {
  Node* root = node_->root ? node_->root.get() : node_.get();
  CLI::App* app = node_->app;
  app->final_callback([root, app, action = std::move(action)] {
    // A parent's action is for the case that none of its subcommands was named.
    if (app->get_subcommands().empty()) root->exit_status = action();
  });
}

int Command::parse_and_run(int argc, char** argv) {
  CLI::App& app = *node_->app;
  std::vector<std::string> arguments = normalize(argc, argv);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::ExtrasError&) {
    const CLI::App& command = deepest_parsed(app);
    std::vector<std::string> extras = app.remaining(true);
    const std::string extra = extras.empty() ? "" : extras.front();
    std::fprintf(stderr, "%s: %s\nSee '%s --help'.\n", command.get_name().c_str(),
                 unknown_argument(command, extra).c_str(), command.get_name().c_str());
    return 2;
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const CLI::App& command = deepest_parsed(app);
    std::fprintf(stderr, "%s: %s\nSee '%s --help'.\n", command.get_name().c_str(), error.what(),
                 command.get_name().c_str());
    return 2;
  }
  return node_->exit_status;
}

}  // namespace lmdeploy::cli
