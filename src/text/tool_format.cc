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

// As json.dumps(value, ensure_ascii=False) writes it, which these models were trained on.
Result<std::string> python_json(const json::value& value) {
  jinja::Evaluator evaluator{jinja::Limits{}};
  return jinja::to_json(evaluator, jinja::Value::from_json(value), {});
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

}  // namespace

Result<std::string> system_with_tools(ToolFormat format, std::string_view text,
                                      const json::array& tools) {
  const bool qwen = format == ToolFormat::kQwen;
  std::string listed;
  for (size_t i = 0; i < tools.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(tools[i], "tools", i));
    ASSIGN_OR_RETURN(const std::string tool, qwen ? qwen_tool(tools[i], *function)
                                                  : llama_tool(*function));
    listed += (qwen ? "\n" : "") + tool;
  }
  if (!qwen) return kLlamaBefore + listed + kLlamaAfter + std::string(text);
  return std::string(text) + (text.empty() ? "" : "\n\n") + kQwenBefore + listed + kQwenAfter;
}

Result<std::string> content_with_calls(ToolFormat format, std::string_view content,
                                       const json::array& calls) {
  std::string text(content);
  for (size_t i = 0; i < calls.size(); ++i) {
    ASSIGN_OR_RETURN(const json::object* function, function_of(calls[i], "tool_calls", i));
    ASSIGN_OR_RETURN(const std::string arguments, arguments_of(*function));
    if (format == ToolFormat::kQwen) {
      text += fmt::format("{}<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>",
                          text.empty() ? "" : "\n", name_of(*function), arguments);
    } else {
      text += fmt::format("<function={}>{}</function>", name_of(*function), arguments);
    }
  }
  return text;
}

}  // namespace lmdeploy
