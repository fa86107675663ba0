// How the built-in chat templates of models trained on tools write tools, calls and results.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace lmdeploy {

enum class ToolFormat {
  kNone,       // the template has none: tools are refused
  kQwen,       // <tools>, <tool_call> and <tool_response> (Qwen 2.5's and 3's own template)
  kLlama31,    // <function=NAME>{...}</function>, results in the role ipython
  kInternlm2,  // <|plugin|>: a system turn of the tools alone, results in the role environment
  kInternS1,   // the same calls and results; the tools stand in the system prompt, explained
};

// Whether a turn's mark says who speaks: "<|im_start|>system name=<|plugin|>".
bool names_speakers(ToolFormat format);

// The role that brings results; "tool" does too.
std::string_view result_role(ToolFormat format);

// The system prompt `text` with `tools` (OpenAI's objects, or bare function objects) in it; for
// kInternlm2 the turn of the tools, which has no other text. A tool without a name is kInvalidArgument.
Result<std::string> system_with_tools(ToolFormat format, std::string_view text,
                                      const json::array& tools);

// An assistant's `content` with its `tool_calls` after it. Arguments are an object or JSON text.
Result<std::string> content_with_calls(ToolFormat format, std::string_view content,
                                       const json::array& calls);

}  // namespace lmdeploy
