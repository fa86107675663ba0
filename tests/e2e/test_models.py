"""Real models against transformers: logits, log-probabilities and greedy text of `debug logits`.

The reference reads the GGUF file as PyPI's `gguf` dequantizes it (tools/gguf_to_hf.py).
"""

import json
import subprocess
import sys

import pytest

from conftest import ROOT, model

torch = pytest.importorskip("torch", reason="the reference needs torch, which third_party/pypi.lock leaves out "
                                            "for its size; install torch beside it to run these")
transformers = pytest.importorskip("transformers")

GREEDY = 24
END_IDS = {1, 2}  # of both models; Gemma's <bos> is 2
# "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n" and a sentence.
SMOLLM_PROMPTS = [
    [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198],
    [504, 3575, 282, 4649, 314],
]
# "<bos>The capital of France is", and 700 tokens, beyond the window of 512.
GEMMA_PROMPTS = [
    [2, 818, 5279, 529, 7001, 563],
    [2] + [818, 5279, 529, 7001, 563, 506, 2891] * 100,
]


@pytest.fixture(scope="session")
def gemma():
    """Gemma 3 270M (base) as one GGUF file."""
    return model("gemma-3-270m-Q4_K_M.gguf")


def dequantized(gguf, folder):
    """An fp32 Hugging Face directory of a GGUF file."""
    command = [sys.executable, str(ROOT / "tools" / "gguf_to_hf.py"), gguf, str(folder), "--dtype", "float32"]
    subprocess.run(command, check=True, capture_output=True)
    return str(folder)


@pytest.fixture(scope="session")
def smollm_fp32(smollm, tmp_path_factory):
    return dequantized(smollm, tmp_path_factory.mktemp("models") / "smollm")


@pytest.fixture(scope="session")
def gemma_fp32(gemma, tmp_path_factory):
    return dequantized(gemma, tmp_path_factory.mktemp("models") / "gemma")


def ours(program, path, ids, dtype):
    command = [program, "debug", "logits", path, "--input-ids", ",".join(map(str, ids)), "--greedy",
               str(GREEDY), "--device", "cpu", "--json"]
    if dtype is not None:
        command += ["--dtype", dtype]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def theirs(path, prompts, dtype):
    reference = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()
    results = []
    for ids in prompts:
        tokens = torch.tensor([ids])
        with torch.no_grad():
            logits = reference(tokens).logits[0].float()
            text = reference.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False,
                                      max_new_tokens=GREEDY, eos_token_id=None, pad_token_id=0)
        logprobs = torch.log_softmax(logits[:-1], -1)
        results.append({"last_logits": logits[-1],
                        "next_logprobs": logprobs.gather(1, tokens[0, 1:, None])[:, 0],
                        "greedy": text[0, len(ids):].tolist()})
    return results


def answer(result):
    """The greedy tokens before the first end token: what follows one is nobody's business."""
    tokens = result["greedy"]
    return tokens[:next((i for i, token in enumerate(tokens) if token in END_IDS), len(tokens))]


def difference(a, b, key):
    return torch.as_tensor(a[key]) - torch.as_tensor(b[key])


def check_fp32(program, path, reference_path, prompts):
    for ids, expected in zip(prompts, theirs(reference_path, prompts, torch.float32)):
        got = ours(program, path, ids, "float32")
        assert difference(got, expected, "last_logits").abs().max() <= 1e-3
        assert difference(got, expected, "next_logprobs").abs().max() <= 1e-3
        end = len(answer(expected))
        assert end > 0 and got["greedy"][:end] == answer(expected)


def test_smollm_gguf_dequantized(program, smollm, smollm_fp32):
    check_fp32(program, smollm, smollm_fp32, SMOLLM_PROMPTS)


def test_smollm_directory(program, smollm_fp32):
    check_fp32(program, smollm_fp32, smollm_fp32, SMOLLM_PROMPTS)


def test_gemma_gguf_dequantized(program, gemma, gemma_fp32):
    check_fp32(program, gemma, gemma_fp32, GEMMA_PROMPTS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_smollm_16_bit(program, smollm_fp32, dtype):
    exact = theirs(smollm_fp32, SMOLLM_PROMPTS, torch.float32)
    rounded = theirs(smollm_fp32, SMOLLM_PROMPTS, getattr(torch, dtype))
    for ids, reference, other in zip(SMOLLM_PROMPTS, exact, rounded):
        got = ours(program, smollm_fp32, ids, dtype)
        allowed = difference(other, reference, "last_logits")
        error = difference(got, reference, "last_logits")
        assert error.abs().max() <= 1.5 * allowed.abs().max()
        assert error.square().mean().sqrt() <= 1.5 * allowed.square().mean().sqrt()


@pytest.mark.parametrize("name", ["smollm", "gemma"])
def test_block_formats_with_int8_activations(program, request, name):
    """Rounding activations to int8 moves log-probabilities a little and the likely text not at all."""
    prompts = SMOLLM_PROMPTS if name == "smollm" else GEMMA_PROMPTS
    path = request.getfixturevalue(name)
    for ids in prompts:
        exact = ours(program, path, ids, "float32")
        got = ours(program, path, ids, None)
        assert difference(got, exact, "next_logprobs").abs().mean() <= 0.15
        assert got["greedy"][:2] == exact["greedy"][:2]
