"""A model without a chat template gets the ids that its family's published template makes.

Real vocabularies (tools/chat_template_oracle.py --fetch and third_party/vocabularies.sh put them into
build/), the published Jinja template rendered by transformers and encoded by tokenizers; our program gets
a directory with config.json and tokenizer.json alone.
"""
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARIES = ROOT / "build/vocabularies"
sys.path.insert(0, str(ROOT / "tools"))

CONVERSATION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 你好 & <b>x</b>"},
                {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And 1 234?"}]
# Vocabulary: architecture, the model's name, the built-in template that it gets.
FAMILIES = {
    "llama3": ("LlamaForCausalLM", "Meta-Llama-3-8B-Instruct", "llama3"),
    "qwen3": ("Qwen3ForCausalLM", "tuned", "qwen3"),
    "deepseek_v3": ("DeepseekV3ForCausalLM", "tuned", "deepseek-v3"),
    "gptoss": ("GptOssForCausalLM", "tuned", "gpt-oss"),
}


@pytest.mark.parametrize("vocabulary", FAMILIES)
def test_ids_are_those_of_the_published_template(program, tmp_path, vocabulary):
    oracle = pytest.importorskip("chat_template_oracle")
    tokenizers = pytest.importorskip("tokenizers")
    folder = VOCABULARIES / vocabulary
    published = ("llama.cpp:openai-gpt-oss-120b" if vocabulary == "gptoss" else vocabulary + ":default")
    templates = [text for name, text in oracle.all_templates() if name in (published, vocabulary)]
    if not folder.exists() or not templates:
        pytest.skip(f"no vocabulary or template of {vocabulary}")
    architecture, name, builtin = FAMILIES[vocabulary]
    config = json.loads((folder / "tokenizer_config.json").read_text())
    token = lambda key: (config.get(key) or {}).get("content") if isinstance(config.get(key), dict) else config.get(key)
    text, error = oracle.expected(templates[0], {
        "messages": CONVERSATION, "bos": token("bos_token") or "", "eos": token("eos_token") or "",
        "add_generation_prompt": True})
    assert error is None
    text = re.sub(r"Current date: \S+\n", "", text)
    expected = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False)

    model = tmp_path / name
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    (model / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    config.pop("chat_template", None)
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "messages.json").write_text(json.dumps({"messages": CONVERSATION}))
    shown = subprocess.run([program, "debug", "prompt", model, "--messages", tmp_path / "messages.json", "--json"],
                           check=True, capture_output=True, text=True)
    assert json.loads(shown.stdout)["ids"] == expected.ids
    assert shown.stderr == ""
    named = subprocess.run([program, "debug", "prompt", model, "--messages", tmp_path / "messages.json", "--json",
                            "--chat-template", builtin], check=True, capture_output=True, text=True)
    assert named.stdout == shown.stdout
