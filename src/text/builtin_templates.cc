// The built-in chat templates of LMDeploy, as data. Where versions differ, the later pieces are kept
// (gemma and phi-3 stop words, deepseek's eosys); its defects are not (chat_template.h).
#include "text/builtin_templates.h"

#include <algorithm>

namespace lmdeploy {

namespace {

// System prompts.

constexpr char kVicuna[] =
    "A chat between a curious user and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the user's questions.";
constexpr char kLlava[] =
    "A chat between a curious human and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the human's questions.";
constexpr char kInternlm[] =
    "You are an AI assistant whose name is InternLM (书生·浦语).\n- InternLM (书生·浦语) is a "
    "conversational language model that is developed by Shanghai AI Laboratory "
    "(上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n- InternLM "
    "(书生·浦语) can understand and communicate fluently in the language chosen by the user "
    "such as English and 中文.\n";
constexpr char kInternvlInternlm2[] =
    "You are an AI assistant whose name is InternLM (书生·浦语).";
constexpr char kXcomposer[] =
    "You are an AI assistant whose name is InternLM-XComposer (浦语·灵笔).\n- "
    "InternLM-XComposer (浦语·灵笔) is a multi-modality conversational language model that "
    "is developed by Shanghai AI Laboratory (上海人工智能实验室). It is designed to be helpful, "
    "honest, and harmless.\n- InternLM-XComposer (浦语·灵笔) can understand and communicate "
    "fluently in the language chosen by the user such as English and 中文.\n- "
    "InternLM-XComposer (浦语·灵笔) is capable of comprehending and articulating responses "
    "effectively based on the provided image.";
constexpr char kLlama2[] =
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as "
    "possible, while being safe. Your answers should not include any harmful, unethical, "
    "racist, sexist, toxic, dangerous, or illegal content. Please ensure that your "
    "responses are socially unbiased and positive in nature.\n\nIf a question does not "
    "make any sense, or is not factually coherent, explain why instead of answering "
    "something not correct. If you don't know the answer to a question, please don't "
    "share false information.";
constexpr char kHelpful[] =
    "You are a helpful assistant.";
constexpr char kUltralm[] =
    "A one-turn chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, very detailed, and polite answers to the user's "
    "questions.";
constexpr char kDeepseekVl[] =
    "You are a helpful language and vision assistant. You are able to understand the "
    "visual content that the user provides, and assist the user with a variety of tasks "
    "using natural language.";
constexpr char kDeepseekCoder[] =
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed "
    "by Deepseek Company, and you only answer questions related to computer science. For "
    "politically sensitive questions, security and privacy issues, and other "
    "non-computer science questions, you will refuse to answer\n";
constexpr char kYiVl[] =
    "This is a chat between an inquisitive human and an AI assistant. Assume the role of "
    "the AI assistant. Read all the images carefully, and respond to the human's "
    "questions with informative, helpful, detailed and polite answers. "
    "这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这个AI助手的角色。仔细阅读所有的图像，并对人类的问题做出信息丰富、有帮助、详细的和礼貌的回答。\n\n";
constexpr char kDbrx[] =
    "You are DBRX, created by Databricks. You were last updated in December 2023. You "
    "answer questions based on information available up to that point.\nYOU PROVIDE "
    "SHORT RESPONSES TO SHORT QUESTIONS OR STATEMENTS, but provide thorough responses to "
    "more complex and open-ended questions.\nYou assist with various tasks, from writing "
    "to coding (using markdown for code blocks — remember to use ``` with code, JSON, "
    "and tables).\n(You do not have real-time data access or code execution "
    "capabilities. You avoid stereotyping and provide balanced perspectives on "
    "controversial topics. You do not provide song lyrics, poems, or news articles and "
    "do not divulge details of your training data.)\nThis is your system prompt, guiding "
    "your responses. Do not reference it, just respond to the user. If you find yourself "
    "talking about this message, stop. You should be responding appropriately and "
    "usually that means not mentioning this.\nYOU DO NOT MENTION ANY OF THIS INFORMATION "
    "ABOUT YOURSELF UNLESS THE INFORMATION IS DIRECTLY PERTINENT TO THE USER\\'S QUERY.";
constexpr char kAnswer[] =
    "Answer the questions.";
constexpr char kInternvl2[] =
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";
constexpr char kInternvl25[] =
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
constexpr char kQwen25[] =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
constexpr char kQwqPreview[] =
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You "
    "should think step-by-step.";
constexpr char kCodegeex[] =
    "你是一位智能编程助手，你叫CodeGeeX。你会为用户回答关于编程、代码、计算机方面的任何问题，并提供格式规范、可以执行、准确安全的代码，并在必要时提供详细的解释。";
constexpr char kPhi3[] =
    "You are an AI assistant whose name is Phi-3.";
constexpr char kInternS1[] =
    "You are an expert reasoner with extensive experience in all areas. You approach "
    "problems through systematic thinking and rigorous reasoning. Your response should "
    "reflect deep understanding and precise logical thinking, making your solution path "
    "and reasoning clear to others. Please put your thinking process within "
    "<think>...</think> tags.";

constexpr char kLlama31System[] =
    "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: 26 Jul 2024\n\n";

using Capability = ChatPieces::Capability;

constexpr BuiltinTemplate kTemplates[] = {
    {.names = {"base", "llama"}, .session_len = 2048},
    {.names = {"vicuna", "wizardlm"}, .session_len = 2048,
     .meta_instruction = kVicuna, .eosys = " ", .user = "USER: ", .eoh = " ",
     .assistant = "ASSISTANT: ", .eoa = "</s>", .stop_words = {"</s>"}, .drops_final_space = true},
    {.names = {"llava-v1"}, .session_len = 2048,
     .meta_instruction = kLlava, .eosys = " ", .user = "USER: ", .eoh = " ",
     .assistant = "ASSISTANT: ", .eoa = "</s>", .stop_words = {"</s>"}, .drops_final_space = true},
    {.names = {"mini-gemini-vicuna"}, .session_len = 4096,
     .meta_instruction = kVicuna, .eosys = " ", .user = "USER: ", .eoh = " ",
     .assistant = "ASSISTANT: ", .eoa = "</s>", .stop_words = {"</s>"}, .drops_final_space = true},
    {.names = {"internlm", "internlm-chat-7b", "internlm-chat"}, .session_len = 2048,
     .system = "<|System|>:", .meta_instruction = kInternlm, .eosys = "\n", .user = "<|User|>:",
     .eoh = "\n", .assistant = "<|Bot|>:", .eoa = "<eoa>", .separator = "\n",
     .stop_words = {"<eoa>"}},
    {.names = {"internlm-chat-7b-8k", "internlm-chat-20b"}, .session_len = 8192,
     .system = "<|System|>:", .meta_instruction = kInternlm, .eosys = "\n", .user = "<|User|>:",
     .eoh = "\n", .assistant = "<|Bot|>:", .eoa = "<eoa>", .separator = "\n",
     .stop_words = {"<eoa>"}},
    {.names = {"internlm-20b"}, .session_len = 4096, .capability = Capability::kCompletion,
     .meta_instruction = ""},
    {.names = {"internlm2-1_8b", "internlm2-7b", "internlm2-20b"},
     .session_len = 32768, .capability = Capability::kCompletion,
     .meta_instruction = ""},
    {.names = {"internlm2", "internlm2-chat", "internlm2-chat-1_8b", "internlm2-chat-7b",
               "internlm2-chat-20b"},
     .session_len = 32768,
     .system = "<|im_start|>system\n", .meta_instruction = kInternlm, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>", "<|action_end|>"}},
    {.names = {"internvl-internlm2"}, .session_len = 32768,
     .system = "<|im_start|>system\n", .meta_instruction = kInternvlInternlm2,
     .eosys = "<|im_end|>\n", .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n",
     .assistant = "<|im_start|>assistant\n", .eoa = "<|im_end|>", .separator = "\n",
     .stop_words = {"<|im_end|>", "<|action_end|>"}},
    {.names = {"internlm-xcomposer2"}, .session_len = 4096,
     .system = "[UNUSED_TOKEN_146]system\n", .meta_instruction = kXcomposer,
     .eosys = "[UNUSED_TOKEN_145]\n", .user = "[UNUSED_TOKEN_146]user\n",
     .eoh = "[UNUSED_TOKEN_145]\n", .assistant = "[UNUSED_TOKEN_146]assistant\n",
     .eoa = "[UNUSED_TOKEN_145]\n", .separator = "\n", .stop_words = {"[UNUSED_TOKEN_145]"}},
    {.names = {"internlm-xcomposer2-4khd"}, .session_len = 16384,
     .system = "[UNUSED_TOKEN_146]system\n", .meta_instruction = kXcomposer,
     .eosys = "[UNUSED_TOKEN_145]\n", .user = "[UNUSED_TOKEN_146]user\n",
     .eoh = "[UNUSED_TOKEN_145]\n", .assistant = "[UNUSED_TOKEN_146]assistant\n",
     .eoa = "[UNUSED_TOKEN_145]\n", .separator = "\n", .stop_words = {"[UNUSED_TOKEN_145]"}},
    {.names = {"baichuan-base", "baichuan-7b"}, .session_len = 2048,
     .meta_instruction = ""},
    {.names = {"baichuan2", "baichuan2-7b"}, .session_len = 2048,
     .meta_instruction = "", .user = "<reserved_106>", .assistant = "<reserved_107>"},
    {.names = {"puyu"}, .session_len = 2048,
     .meta_instruction = ""},
    {.names = {"llama2", "llama-2", "llama-2-chat"}, .session_len = 4096,
     .system = "[INST] <<SYS>>\n", .meta_instruction = kLlama2, .eosys = "\n<</SYS>>\n\n",
     .assistant = " [/INST] ", .eoa = "</s>", .separator = "<s>[INST] "},
    {.names = {"llama3"}, .session_len = 8192,
     .start = "<|begin_of_text|>", .system = "<|start_header_id|>system<|end_header_id|>\n\n",
     .eosys = "<|eot_id|>", .user = "<|start_header_id|>user<|end_header_id|>\n\n",
     .eoh = "<|eot_id|>", .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .eoa = "<|eot_id|>", .stop_words = {"<|eot_id|>", "<|end_of_text|>"}},
    {.names = {"qwen", "qwen-7b", "qwen-14b"}, .session_len = 8192,
     .system = "<|im_start|>system\n", .meta_instruction = kHelpful, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"}},
    {.names = {"codellama"}, .session_len = 4096,
     .system = "[INST] <<SYS>>\n", .meta_instruction = "", .eosys = "\n<</SYS>>\n\n",
     .assistant = " [/INST] ", .eoa = "</s>", .separator = "<s>[INST] "},
    {.names = {"falcon"}, .session_len = 2048},
    {.names = {"chatglm", "chatglm2-6b"}, .session_len = 2048,
     .user = "问：", .eoh = "\n\n", .assistant = "答：", .eoa = "\n\n", .numbers_rounds = true},
    {.names = {"solar", "solar-70b"}, .session_len = 2048,
     .system = "### System:\n", .meta_instruction = "", .eosys = "\n\n", .user = "### User:\n",
     .eoh = "\n\n", .assistant = "### Assistant:\n"},
    {.names = {"ultralm", "ultracm"}, .session_len = 2048,
     .system = "User: ", .meta_instruction = kUltralm, .eosys = "</s>\n", .user = "User: ",
     .eoh = "</s>\n", .assistant = "Assistant: ", .eoa = "</s>", .separator = "\n",
     .stop_words = {"</s>"}},
    {.names = {"yi", "yi-chat", "yi-200k", "yi-34b"}, .session_len = 2048,
     .system = "<|im_start|>system\n", .eosys = "<|im_end|>\n", .user = "<|im_start|>user\n",
     .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n", .eoa = "<|im_end|>",
     .separator = "\n", .stop_words = {"<|im_end|>", "<|endoftext|>"}},
    {.names = {"Mistral-7B-Instruct", "Mixtral-8x7B-Instruct", "mistral", "mixtral"},
     .session_len = 2048,
     .meta_instruction = "", .user = "[INST] ", .eoh = " [/INST]", .eoa = "</s>"},
    {.names = {"internvl-zh"}, .session_len = 4096,
     .meta_instruction = "", .user = "<human>: ", .eoh = " ", .assistant = "<bot>: ", .eoa = "</s>",
     .drops_final_space = true},
    {.names = {"deepseek-vl"}, .session_len = 16384,
     .meta_instruction = kDeepseekVl, .eosys = "\n\n", .user = "User: ", .eoh = "\n\n",
     .assistant = "Assistant: ", .eoa = "<｜end▁of▁sentence｜>", .drops_final_space = true},
    {.names = {"deepseek-coder"}, .session_len = 4096,
     .meta_instruction = kDeepseekCoder, .user = "### Instruction:\n", .eoh = "\n",
     .assistant = "### Response:\n", .eoa = "\n<|EOT|>", .separator = "\n",
     .stop_words = {"<|EOT|>"}},
    {.names = {"yi-vl"}, .session_len = 2048,
     .meta_instruction = kYiVl, .user = "### Human: ", .eoh = "\n", .assistant = "### Assistant:",
     .eoa = "\n", .stop_words = {"###"}},
    {.names = {"dbrx"}, .session_len = 2048,
     .system = "<|im_start|>system\n", .meta_instruction = kDbrx, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n"},
    {.names = {"llava-chatml", "internvl-zh-hermes2"}, .session_len = 4096,
     .system = "<|im_start|>system\n", .meta_instruction = kAnswer, .eosys = "<|im_end|>",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>"},
    {.names = {"deepseek-v3"},
     .start = "<｜begin▁of▁sentence｜>", .meta_instruction = "", .user = "<｜User｜>",
     .assistant = "<｜Assistant｜>", .eoa = "<｜end▁of▁sentence｜>"},
    {.names = {"deepseek-r1"},
     .start = "<｜begin▁of▁sentence｜>", .meta_instruction = "", .user = "<｜User｜>",
     .assistant = "<｜Assistant｜>", .eoa = "<｜end▁of▁sentence｜>", .answer_start = "<think>\n"},
    {.names = {"cogvlm"},
     .meta_instruction = "", .user = "Question: ", .eoh = " ", .assistant = "Answer:",
     .eoa = "</s>", .separator = "\n", .stop_words = {"</s>"}},
    {.names = {"cogvlm2"},
     .meta_instruction = "", .user = "Question: ", .eoh = " ", .assistant = "Answer:",
     .eoa = "<|end_of_text|>", .separator = "\n", .stop_words = {"<|end_of_text|>"}},
    {.names = {"internlm3"},
     .system = "<|im_start|>system\n", .meta_instruction = kInternlm, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>", "<|action_end|>"}},
    {.names = {"internvl2-internlm2"},
     .system = "<|im_start|>system\n", .meta_instruction = kInternvl2, .eosys = "<|im_end|>",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .stop_words = {"<|im_start|>", "<|im_end|>"}},
    {.names = {"internvl2_5"},
     .system = "<|im_start|>system\n", .meta_instruction = kInternvl25, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>", "<|action_end|>"}},
    {.names = {"internlm-xcomposer2d5"},
     .system = "[UNUSED_TOKEN_146]system\n", .meta_instruction = kXcomposer,
     .eosys = "[UNUSED_TOKEN_145]\n", .user = "[UNUSED_TOKEN_146]user\n",
     .eoh = "[UNUSED_TOKEN_145]\n", .assistant = "[UNUSED_TOKEN_146]assistant\n",
     .eoa = "[UNUSED_TOKEN_145]\n", .separator = "\n", .stop_words = {"[UNUSED_TOKEN_145]"}},
    {.names = {"llama3_1", "llama3_2"},
     .start = "<|begin_of_text|>", .system = kLlama31System, .meta_instruction = kHelpful,
     .eosys = "<|eot_id|>", .user = "<|start_header_id|>user<|end_header_id|>\n\n",
     .eoh = "<|eot_id|>", .assistant = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .eoa = "<|eot_id|>", .stop_words = {"<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"},
     .tools = ToolFormat::kLlama31},
    {.names = {"minicpm3", "minicpmv-2d6"},
     .system = "<|im_start|>system\n", .meta_instruction = kHelpful, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"}},
    {.names = {"qwen2d5"},
     .system = "<|im_start|>system\n", .meta_instruction = kQwen25, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"},
     .tools = ToolFormat::kQwen},
    {.names = {"qwen2d5-vl"},
     .system = "<|im_start|>system\n", .meta_instruction = kHelpful, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"}},
    {.names = {"qwq_preview"},
     .system = "<|im_start|>system\n", .meta_instruction = kQwqPreview, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"},
     .tools = ToolFormat::kQwen},
    {.names = {"qwq"},
     .system = "<|im_start|>system\n", .meta_instruction = "", .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"},
     .answer_start = "<think>\n",
     .tools = ToolFormat::kQwen},
    {.names = {"qwen3"},
     .system = "<|im_start|>system\n", .meta_instruction = "", .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>"},
     .no_thinking_start = "<think>\n\n</think>\n\n",
     .tools = ToolFormat::kQwen},
    {.names = {"gemma"},
     .meta_instruction = "", .user = "<start_of_turn>user\n", .eoh = "<end_of_turn>\n",
     .assistant = "<start_of_turn>model\n", .eoa = "<end_of_turn>\n",
     .stop_words = {"<end_of_turn>"}},
    {.names = {"deepseek", "deepseek-chat"},
     .meta_instruction = "", .eosys = "\n\n", .user = "User: ", .eoh = "\n\n",
     .assistant = "Assistant: ", .eoa = "<｜end▁of▁sentence｜>", .drops_final_space = true},
    {.names = {"deepseek-vl2"},
     .meta_instruction = "", .user = "<|User|>: ", .eoh = "\n\n", .assistant = "<|Assistant|>: ",
     .eoa = "<｜end▁of▁sentence｜>", .drops_final_space = true},
    {.names = {"phi-3", "phi-4"},
     .system = "<|system|>\n", .eosys = "<|end|>\n", .user = "<|user|>\n", .eoh = "<|end|>\n",
     .assistant = "<|assistant|>\n", .eoa = "<|end|>\n",
     .stop_words = {"<|end|>", "<|endoftext|>", "<|assistant|>"}},
    {.names = {"internvl2-phi3"},
     .system = "<|system|>\n", .meta_instruction = kInternvl2, .eosys = "<|end|>\n",
     .user = "<|user|>\n", .eoh = "<|end|>\n", .assistant = "<|assistant|>\n", .eoa = "<|end|>\n",
     .stop_words = {"<|end|>", "<|endoftext|>", "<|assistant|>"}},
    {.names = {"chatglm3"},
     .start = "[gMASK]sop", .system = "<|system|>\n ", .user = "<|user|>\n ",
     .assistant = "<|assistant|>\n ", .stop_words = {"<eos>"}},
    {.names = {"glm4"},
     .start = "[gMASK]<sop>", .system = "<|system|>\n", .user = "<|user|>\n",
     .assistant = "<|assistant|>\n",
     .stop_words = {"<|user|>", "<|endoftext|>", "<|observation|>"}},
    {.names = {"codegeex4"},
     .start = "[gMASK]<sop>", .system = "<|system|>\n", .meta_instruction = kCodegeex,
     .user = "<|user|>\n", .assistant = "<|assistant|>\n",
     .stop_words = {"<|endoftext|>", "<|user|>", "<|observation|>"}},
    {.names = {"internvl-phi3"},
     .system = "<|system|>\n", .meta_instruction = kPhi3, .eosys = "<|end|>", .user = "<|user|>\n",
     .eoh = "<|end|>", .assistant = "<|assistant|>\n", .eoa = "<|end|>",
     .stop_words = {"<|end|>", "<|endoftext|>", "<|assistant|>"}},
    {.names = {"molmo"},
     .meta_instruction = "", .user = " User: ", .assistant = " Assistant:", .separator = " ",
     .stop_words = {"<|endoftext|>"}},
    {.names = {"llama4"},
     .system = "<|header_start|>system<|header_end|>\n\n", .meta_instruction = "",
     .eosys = "<|eot|>", .user = "<|header_start|>user<|header_end|>\n\n", .eoh = "<|eot|>",
     .assistant = "<|header_start|>assistant<|header_end|>\n\n", .eoa = "<|eot|>",
     .stop_words = {"<|end_of_text|>", "<|eom|>", "<|eot|>"}},
    {.names = {"interns1", "intern-s1"},
     .system = "<|im_start|>system\n", .meta_instruction = kInternS1, .eosys = "<|im_end|>\n",
     .user = "<|im_start|>user\n", .eoh = "<|im_end|>\n", .assistant = "<|im_start|>assistant\n",
     .eoa = "<|im_end|>", .separator = "\n", .stop_words = {"<|im_end|>", "<|action_end|>"}},
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
