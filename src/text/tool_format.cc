#include "text/tool_format.h"

#include "text/jinja/repr.h"

namespace lmdeploy {

namespace {

constexpr char kQwenBefore[] =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided "
    "with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr char kQwenAfter[] =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
    "<args-json-object>}\n</tool_call>";

constexpr char kLlamaBefore[] =
    "# Tool Instructions\n- Always execute python code in messages that you share.\n- When looking for "
    "real time information use relevant functions if available else fallback to brave_search\n\n\n\n"
    "You have access to the following functions:\n\n";
constexpr char kLlamaAfter[] =
    "\n\nIf a you choose to call a function ONLY reply in the following format:\n"
    "<{start_tag}={function_name}>{parameters}{end_tag}\nwhere\n\nstart_tag => `<function`\n"
    "parameters => a JSON dict with the function argument name as key and function argument value as "
    "value.\nend_tag => `</function>`\n\nHere is an example,\n"
    "<function=example_function_name>{\"example_name\": \"example_value\"}</function>\n\nReminder:\n"
    "- Function calls MUST follow the specified format\n- Required parameters MUST be specified\n"
    "- Only call one function at a time\n- Put the entire function call reply on one line\"\n"
    "- Always add your sources when using search results to answer the user query\n\n";

constexpr char kInternS1Before[] =
    "\n\nYour response should consist of a reasoning step (**thought**) followed immediately by a function "
    "call in valid JSON format. Wrap each function call using the `<|action_start|><|plugin|>` and "
    "`<|action_end|>` tags.\n\n**Format example:**\n\n```\n(Your thought goes here...)\n\n"
    "<|action_start|><|plugin|>\n{\n    \"name\": \"tool_name\",\n    \"parameters\": {\n        "
    "\"parameter1\": \"value1\",\n        \"parameter2\": \"value2\"\n    }\n}\n<|action_end|>\n```\n\n"
    "# External Tools\nYou have access to these tools:\n";

// As json.dumps(value, ensure_ascii=False) writes it, which these models were trained on.
Result<std::string> python_json(const json::value& value, const jinja::JsonStyle& style = {}) {
  jinja::Evaluator evaluator{jinja::Limits{}};
  return jinja::to_json(evaluator, jinja::Value::from_json(value), style);
}

// The object that "function" holds, or the value itself where there is no such member.
Result<const json::object*> function_of(const json::value& value, const char* list, size_t index) {
  const json::value* inner = value.is_object() ? find(value.get_object(), "function") : nullptr;
  const json::value& function = inner != nullptr ? *inner : value;
  if (!function.is_object() || find(function.get_object(), "name") == nullptr ||
      !find(function.get_object(), "name")->is_string()) {
    return invalid_argument("{}[{}] has no function with a 'name' of type string", list, index);
  }
  return &function.get_object();
}

std::string_view name_of(const json::object& function) {
  return function.at("name").get_string();
}

Result<std::string> qwen_tool(const json::value& tool, const json::object& function) {
  if (find(tool.get_object(), "function") != nullptr) return python_json(tool);
  return python_json(json::object{{"type", "function"}, {"function", function}});
}

Result<std::string> llama_tool(const json::object& function) {
  const json::value* description = find(function, "description");
  const std::string_view shown = description != nullptr && description->is_string()
                                     ? std::string_view(description->get_string())
                                     : std::string_view();
  ASSIGN_OR_RETURN(const std::string text, python_json(function));
  return fmt::format("Use the function '{}' to: {}\n{}\n", name_of(function), shown, text);
}

Result<std::string> arguments_of(const json::object& function) {
  const json::value* arguments = find(function, "arguments");
  if (arguments == nullptr) return std::string("{}");
  if (!arguments->is_string()) return python_json(*arguments);
  const std::string_view text = arguments->get_string();
  const Result<json::value> parsed = parse_json(text, "the arguments of a tool call");
  return parsed.ok() ? python_json(*parsed) : std::string(text);
}

// InternLM 2 lists bare functions.
Result<std::string> internlm2_tools(const json::array& tools) {
  json::array functions;
  for (size_t i = 0; i < tools.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(tools[i], "tools", i));
    functions.push_back(*function);
  }
  return python_json(functions);
}

Result<std::string> intern_s1_system(std::string_view text, const json::array& tools) {
  for (size_t i = 0; i < tools.size(); ++i) RETURN_IF_ERROR(function_of(tools[i], "tools", i).status());
  ASSIGN_OR_RETURN(const std::string listed,
                   python_json(tools, {.indented = true, .indent = "  ", .item_separator = ","}));
  constexpr std::string_view kBefore = kInternS1Before;
  return std::string(text) + std::string(kBefore.substr(text.empty() ? 2 : 0)) + listed;
}

Result<std::string> qwen_system(std::string_view text, const json::array& tools) {
  std::string listed;
  for (size_t i = 0; i < tools.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(tools[i], "tools", i));
    ASSIGN_OR_RETURN(const std::string tool, qwen_tool(tools[i], *function));
    listed += "\n" + tool;
  }
  return std::string(text) + (text.empty() ? "" : "\n\n") + kQwenBefore + listed + kQwenAfter;
}

Result<std::string> llama_system(std::string_view text, const json::array& tools) {
  std::string listed;
  for (size_t i = 0; i < tools.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(tools[i], "tools", i));
    ASSIGN_OR_RETURN(const std::string tool, llama_tool(*function));
    listed += tool;
  }
  return kLlamaBefore + listed + kLlamaAfter + std::string(text);
}

std::string call_text(ToolFormat format, bool first, std::string_view name, std::string_view arguments) {
  switch (format) {
    case ToolFormat::kLlama31:
      return fmt::format("<function={}>{}</function>", name, arguments);
    case ToolFormat::kInternlm2:
    case ToolFormat::kInternS1:
      return fmt::format("<|action_start|><|plugin|>\n{{\"name\": \"{}\", \"parameters\": {}}}{}<|action_end|>",
                         name, arguments, format == ToolFormat::kInternS1 ? "\n" : "");
    case ToolFormat::kQwen:
      return fmt::format("{}<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>",
                         first ? "" : "\n", name, arguments);
    case ToolFormat::kNone:
      break;
  }
  return {};
}

}  // namespace

bool names_speakers(ToolFormat format) {
  return format == ToolFormat::kInternlm2 || format == ToolFormat::kInternS1;
}

std::string_view result_role(ToolFormat format) {
  if (names_speakers(format)) return "environment";
  return format == ToolFormat::kLlama31 ? "ipython" : "tool";
}

Result<std::string> system_with_tools(ToolFormat format, std::string_view text,
                                      const json::array& tools) {
  switch (format) {
    case ToolFormat::kQwen:
      return qwen_system(text, tools);
    case ToolFormat::kLlama31:
      return llama_system(text, tools);
    case ToolFormat::kInternlm2:
      return internlm2_tools(tools);
    case ToolFormat::kInternS1:
      return intern_s1_system(text, tools);
    case ToolFormat::kNone:
      break;
  }
  return unsupported("this chat template has no format for tools");
}

Result<std::string> content_with_calls(ToolFormat format, std::string_view content,
                                       const json::array& calls) {
  std::string text(content);
  for (size_t i = 0; i < calls.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(calls[i], "tool_calls", i));
    ASSIGN_OR_RETURN(const std::string arguments, arguments_of(*function));
    text += call_text(format, text.empty(), name_of(*function), arguments);
  }
  return text;
}

}  // namespace lmdeploy
