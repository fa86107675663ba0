// CommandLine: a program's words in the spellings of every LMDeploy version, brought into one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace lmdeploy::cli {

// What rewriting needs to know of the command tree.
struct CommandLineSpellings {
  std::set<std::string> flags;  // "--ssl": options that take no value
  std::set<std::string> short_words;  // "-pt": two letters after one dash, which stand for --pt
  // {"chat", "torch"} -> {"chat", "--backend=pytorch"}, at the beginning of the line.
  std::map<std::vector<std::string>, std::vector<std::string>> older;
};

// --session_len=8 -> --session-len=8; -pt 8 -> --pt 8; --ssl True -> --ssl=true; --a.b_c.d V -> --a=b_c.d=V.
// What follows a lone "--" stays.
std::vector<std::string> normalize_command_line(const std::vector<std::string>& words,
                                                const CommandLineSpellings& spellings);

}  // namespace lmdeploy::cli
