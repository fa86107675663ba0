#!/usr/bin/env python3
"""Writes tests/data/chat_templates/published.json: what transformers renders from published templates.

    tools/chat_template_published.py

Each is compared with the built-in template for its family (tests/text/chat_template_builtin_test.cc). The
templates come from the test and the folder of templates in llama.cpp (MIT; PyPI llama-cpp-python's sdist,
fetched by chat_template_oracle.py --fetch), from tests/data/chat_templates, and from the text below.
"""
import ast
import json
import re
import tarfile

import chat_template_oracle as oracle

FALCON = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = '' %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 %}"
    "{{ system_message.strip() }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ '\\n\\nUser: ' + message['content'].strip() }}{% elif message['role'] == 'assistant' %}"
    "{{ '\\n\\nAssistant: ' + message['content'].strip() }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}")

# Built-in template: where its family's is, and the BOS and EOS that the family writes.
SOURCES = {
    "chatml": ("teknium/OpenHermes-2.5-Mistral-7B", "", "<|im_end|>"),
    "yi": ("teknium/OpenHermes-2.5-Mistral-7B", "", "<|im_end|>"),
    "internlm2": ("teknium/OpenHermes-2.5-Mistral-7B", "", "<|im_end|>"),
    "mistral": ("mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)", "", "</s>"),
    "gemma": ("google/gemma-7b-it", "", "<eos>"),
    "deepseek": ("DeepSeek-V2", "", "<｜end▁of▁sentence｜>"),
    "deepseek-coder": ("deepseek-ai/deepseek-coder-33b-instruct", "", "<|EOT|>"),
    "deepseek-v3": ("file:deepseek_v3", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "llama3": ("Llama-3", "<|begin_of_text|>", "<|eot_id|>"),
    "llama3_1": ("archive:meta-llama-Llama-3.1-8B-Instruct", "<|begin_of_text|>", "<|eot_id|>"),
    "phi-3": ("archive:microsoft-Phi-3.5-mini-instruct", "", "<|endoftext|>"),
    "chatglm3": ("ChatGLM3", "", ""),
    "glm4": ("ChatGLM4", "", ""),
    "minicpm": ("MiniCPM-3B-OpenHermes-2.5-v2-GGUF", "", "</s>"),
    "falcon-instruct": ("text", "", "<|endoftext|>"),
    "qwen2d5": ("file:qwen2_5", "", "<|im_end|>"),
    "qwen3": ("file:qwen3", "", "<|im_end|>"),
    "qwq": ("archive:Qwen-QwQ-32B", "", "<|im_end|>"),
    "gpt-oss": ("archive:openai-gpt-oss-120b", "", "<|return|>"),
}
TURNS = [oracle.user("Q1"), oracle.assistant("A1"), oracle.user("Q2")]
CONVERSATIONS = {"question": TURNS[:1], "turns": TURNS, "system": [oracle.system("S")] + TURNS}


def archive_path():
    return next(p for p in (oracle.CACHE / oracle.LLAMA_CPP, oracle.ROOT / "build/peers" / oracle.LLAMA_CPP)
                if p.exists())


def member(suffix):
    with tarfile.open(archive_path()) as archive:
        name = next(n for n in archive.getnames() if n.endswith(suffix))
        return archive.extractfile(name).read().decode()


def of_test(name, source):
    """The template string that llama.cpp's test has under a name: a C string literal."""
    pattern = r'\.name= \*/ "' + re.escape(name) + r'".*?\.template_str= \*/ (?:U8C\()?("(?:[^"\\]|\\.)*")'
    return ast.literal_eval(re.search(pattern, source, re.S).group(1))


def template_of(source, test):
    if source == "text":
        return FALCON
    if source.startswith("file:"):
        return (oracle.DATA / f"{source[5:]}.jinja").read_text()
    if source.startswith("archive:"):
        return member(f"/models/templates/{source[8:]}.jinja")
    return of_test(source, test)


def main():
    test = member("/tests/test-chat-template.cpp")
    published = {}
    for name, (source, bos, eos) in SOURCES.items():
        template = template_of(source, test)
        texts = {}
        for case, messages in CONVERSATIONS.items():
            text, _ = oracle.expected(template, {"messages": messages, "bos": bos, "eos": eos,
                                                 "add_generation_prompt": True,
                                                 "variables": {"enable_thinking": True}})
            if text is not None:  # some refuse a system message
                texts[case] = re.sub(r"Current date: \S+\n", "", text)
        published[name] = {"source": source, "bos": bos, "prompts": texts}
    document = {"conversations": CONVERSATIONS, "published": published}
    path = oracle.DATA / "published.json"
    path.write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n")
    print(f"{path}: {len(published)} templates, {sum(len(p['prompts']) for p in published.values())} prompts")


if __name__ == "__main__":
    main()
