// The built-in chat templates of LMDeploy, and a few of ours, as data. Where its versions differ, the later
// pieces are kept (gemma's and phi-3's stop words); what was wrong in them is not (docs/guide/
// chat-templates.md says which).
#include "text/builtin_templates.h"

#include <algorithm>

#include "text/builtin_system_prompts.h"

namespace lmdeploy {

namespace {

using Names = std::array<std::string_view, 6>;
using StopWords = std::array<std::string_view, 4>;
using Capability = ChatPieces::Capability;

// <|im_start|>ROLE newline TEXT<|im_end|> newline.
constexpr BuiltinTemplate chatml(Names names, const char* meta_instruction,
                                 StopWords stop_words = {"<|im_end|>"}) {
  return {.names = names,
          .system = "<|im_start|>system\n",
          .meta_instruction = meta_instruction,
          .eosys = "<|im_end|>\n",
          .user = "<|im_start|>user\n",
          .eoh = "<|im_end|>\n",
          .assistant = "<|im_start|>assistant\n",
          .eoa = "<|im_end|>",
          .separator = "\n",
          .stop_words = stop_words};
}

// The same without newlines between the turns.
constexpr BuiltinTemplate tight_chatml(Names names, const char* meta_instruction, StopWords stop_words) {
  BuiltinTemplate row = chatml(names, meta_instruction, stop_words);
  row.eosys = row.eoh = "<|im_end|>";
  row.separator = "";
  return row;
}

// Qwen 2.5 and what came after it.
constexpr BuiltinTemplate qwen(Names names, const char* meta_instruction, std::string_view answer = "",
                               std::string_view answer_unthought = "") {
  BuiltinTemplate row = chatml(names, meta_instruction);
  row.answer = answer;
  row.answer_unthought = answer_unthought;
  row.tools = ToolFormat::kQwen;
  return row;
}

// The role "environment" brings the results of tools.
constexpr BuiltinTemplate with_environment(BuiltinTemplate row, ToolFormat tools) {
  row.tool = "<|im_start|>environment\n";
  row.eotool = "<|im_end|>\n";
  row.tools = tools;
  return row;
}

constexpr BuiltinTemplate internlm2(Names names, const char* meta_instruction) {
  return with_environment(chatml(names, meta_instruction, {"<|im_end|>", "<|action_end|>"}),
                          ToolFormat::kInternlm2);
}

constexpr BuiltinTemplate intern_s1(Names names) {
  BuiltinTemplate row = internlm2(names, system_prompts::kInternS1);
  row.answer = "<|im_start|>assistant\n<think>";
  row.answer_unthought = row.assistant;
  row.asks_for_thoughts = true;
  row.tools = ToolFormat::kInternS1;
  return row;
}

constexpr BuiltinTemplate vicuna(Names names, const char* meta_instruction) {
  return {.names = names,
          .meta_instruction = meta_instruction,
          .eosys = " ",
          .user = "USER: ",
          .eoh = " ",
          .assistant = "ASSISTANT: ",
          .eoa = "</s>",
          .answer = "ASSISTANT:",
          .stop_words = {"</s>"}};
}

// [INST] <<SYS>> ... The system block and the first user's text share one [INST].
constexpr BuiltinTemplate llama2(Names names, const char* meta_instruction) {
  return {.names = names,
          .system = "[INST] <<SYS>>\n",
          .meta_instruction = meta_instruction,
          .eosys = "\n<</SYS>>\n\n",
          .assistant = " [/INST] ",
          .eoa = "</s>",
          .separator = "<s>[INST] "};
}

constexpr BuiltinTemplate phi3(Names names, const char* meta_instruction, std::string_view end) {
  return {.names = names,
          .system = "<|system|>\n",
          .meta_instruction = meta_instruction,
          .eosys = end,
          .user = "<|user|>\n",
          .eoh = end,
          .assistant = "<|assistant|>\n",
          .eoa = end,
          .stop_words = {"<|end|>", "<|endoftext|>", "<|assistant|>"}};
}

constexpr BuiltinTemplate glm4(Names names, const char* meta_instruction) {
  return {.names = names,
          .start = "[gMASK]<sop>",
          .system = "<|system|>\n",
          .meta_instruction = meta_instruction,
          .user = "<|user|>\n",
          .assistant = "<|assistant|>\n",
          .stop_words = {"<|user|>", "<|endoftext|>", "<|observation|>"}};
}

// Texts one after the other, between the ids of the user and of the assistant.
constexpr BuiltinTemplate baichuan(Names names, std::string_view user, std::string_view assistant) {
  return {.names = names, .meta_instruction = "", .user = user, .assistant = assistant};
}

constexpr BuiltinTemplate kTemplates[] = {
    {.names = {"base", "llama", "falcon", "puyu", "baichuan-base", "baichuan-7b"}},
    {.names = {"internlm-20b", "internlm2-1_8b", "internlm2-7b", "internlm2-20b"},
     .capability = Capability::kCompletion, .meta_instruction = ""},

    vicuna({"vicuna", "wizardlm", "mini-gemini-vicuna"}, system_prompts::kVicuna),
    vicuna({"llava-v1"}, system_prompts::kLlava),
    llama2({"llama2", "llama-2", "llama-2-chat"}, system_prompts::kLlama2),
    llama2({"codellama"}, ""),
    {.names = {"llama3"}, .start = "<|begin_of_text|>",
     .system = "<|start_header_id|>system<|end_header_id|>\n\n", .eosys = "<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n", .eoh = "<|eot_id|>",
     .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n", .eoa = "<|eot_id|>",
     .stop_words = {"<|eot_id|>", "<|end_of_text|>"}},
    {.names = {"llama3_1", "llama3_2"}, .start = "<|begin_of_text|>",
     .system = "<|start_header_id|>system<|end_header_id|>\n\n"
               "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
     .meta_instruction = system_prompts::kHelpful, .eosys = "<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n", .eoh = "<|eot_id|>",
     .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n", .eoa = "<|eot_id|>",
     .tool = "<|start_header_id|>ipython<|end_header_id|>\n\n", .eotool = "<|eot_id|>",
     .stop_words = {"<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"}, .tools = ToolFormat::kLlama31},
    {.names = {"llama4"}, .system = "<|header_start|>system<|header_end|>\n\n", .meta_instruction = "",
     .eosys = "<|eot|>", .user = "<|header_start|>user<|header_end|>\n\n", .eoh = "<|eot|>",
     .assistant = "<|header_start|>assistant<|header_end|>\n\n", .eoa = "<|eot|>",
     .stop_words = {"<|end_of_text|>", "<|eom|>", "<|eot|>"}},
    {.names = {"solar", "solar-70b"}, .system = "### System:\n", .meta_instruction = "", .eosys = "\n\n",
     .user = "### User:\n", .eoh = "\n\n", .assistant = "### Assistant:\n"},
    {.names = {"ultralm", "ultracm"}, .system = "User: ", .meta_instruction = system_prompts::kUltralm,
     .eosys = "</s>\n", .user = "User: ", .eoh = "</s>\n", .assistant = "Assistant: ", .eoa = "</s>",
     .separator = "\n", .stop_words = {"</s>"}},

    {.names = {"internlm", "internlm-chat-7b", "internlm-chat", "internlm-chat-7b-8k", "internlm-chat-20b"},
     .system = "<|System|>:", .meta_instruction = system_prompts::kInternlm, .eosys = "\n",
     .user = "<|User|>:", .eoh = "\n", .assistant = "<|Bot|>:", .eoa = "<eoa>", .separator = "\n",
     .stop_words = {"<eoa>"}, .plain_marks = true},
    internlm2({"internlm2", "internlm2-chat", "internlm2-chat-1_8b", "internlm2-chat-7b",
               "internlm2-chat-20b", "internlm3"}, system_prompts::kInternlm),
    intern_s1({"intern-s1", "interns1"}),
    internlm2({"internvl-internlm2"}, system_prompts::kInternvlInternlm2),
    with_environment(tight_chatml({"internvl2-internlm2"}, system_prompts::kInternvl2,
                                  {"<|im_start|>", "<|im_end|>"}), ToolFormat::kInternlm2),
    internlm2({"internvl2_5"}, system_prompts::kInternvl25),
    {.names = {"internlm-xcomposer2", "internlm-xcomposer2d5", "internlm-xcomposer2-4khd"},
     .system = "[UNUSED_TOKEN_146]system\n", .meta_instruction = system_prompts::kXcomposer,
     .eosys = "[UNUSED_TOKEN_145]\n", .user = "[UNUSED_TOKEN_146]user\n", .eoh = "[UNUSED_TOKEN_145]\n",
     .assistant = "[UNUSED_TOKEN_146]assistant\n", .eoa = "[UNUSED_TOKEN_145]\n", .separator = "\n",
     .stop_words = {"[UNUSED_TOKEN_145]"}},

    chatml({"qwen", "qwen-7b", "qwen-14b"}, system_prompts::kHelpful, {"<|im_end|>", "<|im_start|>"}),
    qwen({"qwen2d5"}, system_prompts::kQwen25),
    qwen({"qwen2d5-vl"}, system_prompts::kHelpful),
    qwen({"qwq_preview"}, system_prompts::kQwqPreview),
    qwen({"qwq"}, nullptr, "<|im_start|>assistant\n<think>\n"),
    qwen({"qwen3"}, nullptr, "", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    chatml({"minicpm3", "minicpmv-2d6"}, system_prompts::kHelpful),
    chatml({"yi", "yi-chat", "yi-200k", "yi-34b"}, nullptr, {"<|im_end|>", "<|endoftext|>"}),
    chatml({"chatml"}, nullptr),
    chatml({"dbrx"}, system_prompts::kDbrx),
    tight_chatml({"llava-chatml", "internvl-zh-hermes2"}, system_prompts::kAnswer, {"<|im_end|>"}),
    {.names = {"yi-vl"}, .meta_instruction = system_prompts::kYiVl, .user = "### Human: ", .eoh = "\n",
     .assistant = "### Assistant:", .eoa = "\n", .stop_words = {"###"}},

    baichuan({"baichuan2", "baichuan2-7b"}, "<reserved_106>", "<reserved_107>"),
    baichuan({"baichuan-chat"}, "<reserved_102>", "<reserved_103>"),
    {.names = {"chatglm", "chatglm2-6b"}, .user = "问：", .eoh = "\n\n", .assistant = "答：", .eoa = "\n\n",
     .numbers_rounds = true, .system_in_user = true},
    {.names = {"chatglm3"}, .start = "[gMASK]sop", .system = "<|system|>\n ", .user = "<|user|>\n ",
     .assistant = "<|assistant|>\n ", .answer = "<|assistant|>",
     .stop_words = {"<eos>", "<|user|>", "<|observation|>"}},
    glm4({"glm4"}, nullptr),
    glm4({"codegeex4"}, system_prompts::kCodegeex),

    {.names = {"mistral", "mixtral", "Mistral-7B-Instruct", "Mixtral-8x7B-Instruct"}, .user = "[INST] ",
     .eoh = " [/INST]", .eoa = "</s>", .system_in_user = true},
    {.names = {"gemma"}, .user = "<start_of_turn>user\n", .eoh = "<end_of_turn>\n",
     .assistant = "<start_of_turn>model\n", .eoa = "<end_of_turn>\n", .stop_words = {"<end_of_turn>"},
     .system_in_user = true},
    phi3({"phi-3", "phi-4"}, nullptr, "<|end|>\n"),
    phi3({"internvl2-phi3"}, system_prompts::kInternvl2, "<|end|>\n"),
    phi3({"internvl-phi3"}, system_prompts::kPhi3, "<|end|>"),
    {.names = {"phi-2"}, .eosys = "\n", .user = "Instruct: ", .eoh = "\n", .assistant = "Output: ",
     .eoa = "\n", .answer = "Output:", .stop_words = {"Instruct:", "<|endoftext|>"}},
    {.names = {"falcon-instruct"}, .user = "\n\nUser: ", .assistant = "\n\nAssistant: ",
     .answer = "\n\nAssistant:", .stop_words = {"\nUser:", "<|endoftext|>"}},
    {.names = {"minicpm"}, .user = "<用户>", .assistant = "<AI>", .stop_words = {"</s>"}},
    {.names = {"gpt-oss"},
     .start = "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
              "Knowledge cutoff: 2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, "
              "final. Channel must be included for every message.<|end|>",
     .system = "<|start|>developer<|message|># Instructions\n\n", .eosys = "\n\n<|end|>",
     .user = "<|start|>user<|message|>", .eoh = "<|end|>",
     .assistant = "<|start|>assistant<|channel|>final<|message|>", .eoa = "<|end|>",
     .answer = "<|start|>assistant", .stop_words = {"<|return|>", "<|call|>"}},

    {.names = {"deepseek-v3"}, .start = "<｜begin▁of▁sentence｜>", .user = "<｜User｜>",
     .assistant = "<｜Assistant｜>", .eoa = "<｜end▁of▁sentence｜>"},
    {.names = {"deepseek-r1"}, .start = "<｜begin▁of▁sentence｜>", .user = "<｜User｜>",
     .assistant = "<｜Assistant｜>", .eoa = "<｜end▁of▁sentence｜>",
     .answer = "<｜Assistant｜><think>\n"},
    {.names = {"deepseek", "deepseek-chat"}, .eosys = "\n\n", .user = "User: ", .eoh = "\n\n",
     .assistant = "Assistant: ", .eoa = "<｜end▁of▁sentence｜>", .answer = "Assistant:"},
    {.names = {"deepseek-vl"}, .meta_instruction = system_prompts::kDeepseekVl, .eosys = "\n\n",
     .user = "User: ", .eoh = "\n\n", .assistant = "Assistant: ", .eoa = "<｜end▁of▁sentence｜>",
     .answer = "Assistant:", .stop_words = {"User:"}},
    {.names = {"deepseek-vl2"}, .eosys = "\n\n", .user = "<|User|>: ", .eoh = "\n\n",
     .assistant = "<|Assistant|>: ", .eoa = "<｜end▁of▁sentence｜>", .answer = "<|Assistant|>:"},
    {.names = {"deepseek-coder"}, .meta_instruction = system_prompts::kDeepseekCoder,
     .user = "### Instruction:\n", .eoh = "\n", .assistant = "### Response:\n", .eoa = "\n<|EOT|>",
     .separator = "\n", .stop_words = {"<|EOT|>"}},

    {.names = {"internvl-zh"}, .user = "<human>: ", .eoh = " ", .assistant = "<bot>: ", .eoa = "</s>",
     .answer = "<bot>:", .plain_marks = true},
    {.names = {"cogvlm"}, .user = "Question: ", .eoh = " ", .assistant = "Answer:", .eoa = "</s>",
     .separator = "\n", .stop_words = {"</s>"}},
    {.names = {"cogvlm2"}, .user = "Question: ", .eoh = " ", .assistant = "Answer:",
     .eoa = "<|end_of_text|>", .separator = "\n", .stop_words = {"<|end_of_text|>"}},
    {.names = {"molmo"}, .user = " User: ", .assistant = " Assistant:", .separator = " ",
     .stop_words = {"<|endoftext|>"}},
};

}  // namespace

const BuiltinTemplate* find_builtin_template(std::string_view name) {
  for (const BuiltinTemplate& row : kTemplates) {
    if (!name.empty() && std::find(row.names.begin(), row.names.end(), name) != row.names.end()) {
      return &row;
    }
  }
  return nullptr;
}

ChatPieces pieces_of(const BuiltinTemplate& row, std::string_view name) {
  ChatPieces pieces;
  pieces.name = name;
  pieces.start = row.start;
  pieces.system = row.system;
  if (row.meta_instruction != nullptr) pieces.meta_instruction = row.meta_instruction;
  pieces.eosys = row.eosys;
  pieces.user = row.user;
  pieces.eoh = row.eoh;
  pieces.assistant = row.assistant;
  pieces.eoa = row.eoa;
  pieces.separator = row.separator;
  pieces.tool = row.tool;
  pieces.eotool = row.eotool;
  pieces.answer = row.answer;
  pieces.answer_unthought = row.answer_unthought;
  pieces.capability = row.capability;
  for (const std::string_view word : row.stop_words) {
    if (!word.empty()) pieces.stop_words.emplace_back(word);
  }
  pieces.numbers_rounds = row.numbers_rounds;
  pieces.system_in_user = row.system_in_user;
  pieces.asks_for_thoughts = row.asks_for_thoughts;
  pieces.plain_marks = row.plain_marks;
  pieces.tools = row.tools;
  return pieces;
}

std::vector<std::string> list_builtin_templates() {
  std::vector<std::string> names;
  for (const BuiltinTemplate& row : kTemplates) {
    for (const std::string_view name : row.names) {
      if (!name.empty()) names.emplace_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace lmdeploy
