"""Passkey retrieval as the documents on long contexts script it: a number hidden in sentences about grass
and sky, asked for at the end, through `debug logits --greedy`.
"""

import json
import random
import subprocess

import pytest
from tokenizers import Tokenizer

TASK = ("There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. "
        "I will quiz you about the important information there.")
GARBAGE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
QUESTION = "What is the pass key? The pass key is"
ROUNDS = 3


def passkey_prompt(sentences, before, pass_key):
    information = f"The pass key is {pass_key}. Remember it. {pass_key} is the pass key."
    return " ".join([TASK, " ".join([GARBAGE] * before), information,
                     " ".join([GARBAGE] * (sentences - before)), QUESTION])


def answer(program, path, tokenizer, prompt, options):
    ids = tokenizer.encode(prompt).ids
    command = [program, "debug", "logits", path, "--input-ids", ",".join(map(str, ids)), "--greedy", "6",
               "--device", "cpu", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return tokenizer.decode(json.loads(done.stdout)["greedy"]), len(ids)


@pytest.fixture(scope="session")
def tokenizer(smollm_directory):
    return Tokenizer.from_file(f"{smollm_directory}/tokenizer.json")


@pytest.mark.parametrize("options", [[], ["--rope-scaling-factor", "2.0", "--session-len", "160000"]],
                         ids=["own-limit", "documents-setting"])
def test_finds_the_key(program, smollm, tokenizer, options):
    """About 1,000 tokens, within the model's own context: the documents' setting must not hurt there."""
    chance = random.Random(5)
    for _ in range(ROUNDS):
        pass_key = chance.randint(1, 50000)
        text, length = answer(program, smollm, tokenizer,
                              passkey_prompt(40, chance.randint(0, 40), pass_key), options)
        assert text.strip().startswith(str(pass_key)), (pass_key, text, length)


@pytest.mark.parametrize("seed", [5, 7])
def test_finds_the_key_beyond_the_models_context(program, smollm, tokenizer, seed):
    """About 9,000 tokens, of 8,192 that the model was trained with, under dynamic NTK."""
    chance = random.Random(seed)
    sentences = 9000 // len(tokenizer.encode(GARBAGE).ids)
    pass_key = chance.randint(1, 50000)
    text, length = answer(program, smollm, tokenizer,
                          passkey_prompt(sentences, chance.randint(0, sentences), pass_key),
                          ["--rope-scaling-factor", "2.0", "--session-len", "16384"])
    assert length > 8192
    assert text.strip().startswith(str(pass_key)), (pass_key, text, length)
