// ChatOptions: the flags of `lmdeploy chat` that are neither the engine's nor compatibility ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/options.h"

namespace lmdeploy::cli {

struct ChatOptions {
  std::optional<std::string> prompt;
  bool double_enter = false;
  std::string meta_instruction;
  std::string chat_template;
  std::string cap = "chat";
  std::string model_name;
  int64_t max_new_tokens = 1024;
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<int64_t> top_k, seed;
  bool verbose = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "prompt", .help = "answer this one prompt and leave", .aliases = {"p"}},
          self.prompt);
    visit(
        {.name = "double-enter",
         .help = "an empty line sends the message, as in LMDeploy's documents; without this, Enter "
                 "sends and a trailing backslash continues the message on the next line"},
        self.double_enter);
    visit({.name = "meta-instruction",
           .help = "system prompt; empty takes the template's own",
           .aliases = {"system"}},
          self.meta_instruction);
    visit({.name = "chat-template",
           .help = "a built-in name (see 'lmdeploy list'), a .json or .jinja file, or JSON text; "
                   "empty takes the model's own",
           .value_name = "T"},
          self.chat_template);
    visit({.name = "cap",
           .help = "chat applies the chat template and remembers the conversation; completion and "
                   "python give the model each text as it is; infilling puts Code Llama's marks "
                   "around the one <FILL> in it",
           .choices = {"chat", "completion", "infilling", "python"}},
          self.cap);
    visit({.name = "model-name",
           .help = "older spelling of --chat-template; a name that is no built-in template changes "
                   "nothing",
           .value_name = "NAME"},
          self.model_name);
    visit({.name = "verbose", .help = "print tokens and speed after each answer"}, self.verbose);
    describe_sampling(visit, self);
  }

 private:
  template <class Visitor, class Self>
  static void describe_sampling(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Sampling";
    visit({.name = "max-new-tokens",
           .help = "longest answer in tokens",
           .aliases = {"request-output-len"},
           .group = kGroup},
          self.max_new_tokens);
    visit({.name = "temperature",
           .help = "0 always takes the most likely token; higher is more varied (default: the "
                   "model's, or 0.8)",
           .group = kGroup},
          self.temperature);
    visit({.name = "top-p",
           .help = "draw from the most likely tokens that together have this probability (default: "
                   "the model's, or 0.8)",
           .group = kGroup},
          self.top_p);
    visit({.name = "top-k",
           .help = "draw from this many most likely tokens; 0 is all (default: the model's, or 40)",
           .group = kGroup},
          self.top_k);
    visit({.name = "repetition-penalty",
           .help = "above 1 makes tokens that came before less likely (default: the model's, or 1)",
           .group = kGroup},
          self.repetition_penalty);
    visit({.name = "seed", .help = "the same seed gives the same answers", .group = kGroup},
          self.seed);
  }
};

}  // namespace lmdeploy::cli
