// Options: one struct field with its comment and default is the only source of an option. The
// struct's describe() names the fields once; the CLI flag, JSON key, Python keyword and doc page all
// come from it.
//
//   struct ChatOptions {
//     int session_len = 0;
//     template <class Visitor, class Self>
//     static void describe(Visitor& visit, Self& self) {
//       visit({.name = "session-len", .help = "longest prompt plus answer, in tokens"}, self.session_len);
//     }
//   };
//
// Field types that visitors must take: bool, int, int64_t, double, std::string,
// std::optional of those, std::vector<std::string>.
#pragma once

#include <string>
#include <vector>

namespace lmdeploy {

struct OptionInfo {
  const char* name;                        // with dashes; underscores are accepted everywhere
  const char* help;                        // one sentence, lower case, no final stop
  std::vector<const char*> aliases = {};   // older spellings
  std::vector<const char*> choices = {};   // empty: anything
  const char* value_name = "";             // "PATH", "N"; empty: from the type
  const char* group = "";                  // heading in --help
  // A compatibility option that configures nothing here: accepted, with this as a notice.
  const char* notice = "";
  // An option whose effect the user would miss: an error with this text when it is set.
  const char* refusal = "";
};

}  // namespace lmdeploy
