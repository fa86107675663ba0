#!/usr/bin/env python3
"""Writes tests/data/chat_templates/lmdeploy.json: the prompts that LMDeploy's built-in chat templates make.

    tools/chat_template_lmdeploy.py MODEL.PY [MODEL.PY ...]

MODEL.PY is lmdeploy/model.py of a release (Apache-2.0), newest first: a name is asked of the first that
knows it. The file in the tree was made with those of v0.9.2 and v0.4.2. Nothing else of LMDeploy is needed.
"""
import argparse
import copy
import json
import logging
import pathlib
import runpy
import sys
import types

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/chat_templates/lmdeploy.json"

TOOLS = [
    {"name": "weather", "description": "Of a \"city\", é", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    {"name": "now", "description": "The time", "parameters": {}}]
CALL = {"role": "assistant", "content": "Let me see.", "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"北京\"}"}}]}
TURNS = [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"},
         {"role": "user", "content": "Q2"}]
SYSTEM = [{"role": "system", "content": "S"}]
CONVERSATIONS = {
    "turns": {"messages": TURNS},
    "system": {"messages": SYSTEM + TURNS},
    "open": {"messages": SYSTEM + TURNS[:1] + [{"role": "assistant", "content": "The"}]},
    "tools": {"messages": TURNS[:1], "tools": TOOLS},
    "system and tools": {"messages": SYSTEM + TURNS[:1], "tools": TOOLS},
    "result": {"messages": TURNS[:1] + [CALL, {"role": "tool", "name": "plugin", "content": "21"}], "tools": TOOLS},
    "thinking off": {"messages": TURNS, "enable_thinking": False},
    "thinking off, tools": {"messages": TURNS[:1], "enable_thinking": False, "tools": TOOLS},
    "interpreter": {"messages": [{"role": "system", "name": "interpreter", "content": "S"}, TURNS[0],
                                 {"role": "assistant", "content": "<|action_start|>"},
                                 {"role": "environment", "name": "interpreter", "content": "R"}]},
}
FOR_TOOLS = {"tools", "system and tools", "result", "thinking off, tools"}


class Registry:
    """What model.py uses of mmengine's."""

    def __init__(self, *_, **__):
        self.module_dict = {}

    def register_module(self, name, **_):
        def register(cls):
            for each in name if isinstance(name, list) else [name]:
                self.module_dict[each] = cls
            return cls
        return register

    def get(self, name):
        return self.module_dict[name]


def load(path):
    """The registry that a model.py fills."""
    sys.modules["mmengine"] = types.SimpleNamespace(Registry=Registry)
    sys.modules["lmdeploy.utils"] = types.SimpleNamespace(get_logger=logging.getLogger)
    return runpy.run_path(path)["MODELS"]


def takes_tools(template):
    return "tools" in template.messages2prompt.__code__.co_varnames


def knows(template, case, newest):
    """Whether the release has what the case asks for; older ones do not continue an answer."""
    if case in FOR_TOOLS:
        return takes_tools(template)
    if case == "interpreter":
        return hasattr(template, "environment")
    return newest or case != "open"


def prompts(make, newest):
    """{case: prompt} of one template; a case that it fails on is left out."""
    texts = {}
    for name, request in CONVERSATIONS.items():
        template = make()
        if not knows(template, name, newest):
            continue
        try:
            texts[name] = template.messages2prompt(**copy.deepcopy(request))
        except (KeyError, AttributeError, TypeError):
            continue
        if name == "thinking off" and texts[name] == texts["turns"]:
            del texts[name]
    texts["first turn"] = make().get_prompt("Q1", True)
    texts["later turn"] = make().get_prompt("Q2", False)
    return {name: text for name, text in texts.items() if text is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_py", nargs="+")
    registries = [load(path) for path in parser.parse_args().model_py]
    groups = []
    for name in dict.fromkeys(n for registry in registries for n in registry.module_dict):
        registry = next(r for r in registries if name in r.module_dict)
        make = registry.get(name)
        entry = {"prompts": prompts(make, registry is registries[0]), "stop_words": make().stop_words or []}
        same = next((g for g in groups if {k: g[k] for k in entry} == entry), None)
        if same:
            same["names"].append(name)
        else:
            groups.append({"names": [name], **entry})
    document = {"conversations": CONVERSATIONS, "templates": groups}
    OUTPUT.write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n")
    print(f"{OUTPUT}: {sum(len(g['names']) for g in groups)} names, "
          f"{sum(len(g['prompts']) for g in groups)} prompts")


if __name__ == "__main__":
    main()
