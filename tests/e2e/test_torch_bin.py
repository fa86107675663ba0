"""A model saved by torch gives the logits that it gives from safetensors, bit for bit.

Needs torch and safetensors, and build/models/SmolLM2-135M-Instruct (tools/gguf_to_hf.py).
"""

import json
import pathlib
import subprocess

import pytest


def logits(program, directory):
    done = subprocess.run([program, "debug", "logits", str(directory), "--input-ids", "1,504,2365,282,4649,314", "--greedy",
                           "4", "--device", "cpu", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def save(directory, torch, tensors):
    """Two parts and their index; the second has parameters that are views into one storage."""
    names = sorted(tensors)
    half = len(names) // 2
    torch.save({name: tensors[name] for name in names[:half]}, directory / "pytorch_model-00001-of-00002.bin")
    pool = torch.cat([tensors[name].reshape(-1) for name in names[half:]])
    views, offset = {}, 0
    for name in names[half:]:
        count = tensors[name].numel()
        views[name] = torch.nn.Parameter(pool[offset:offset + count].view(tensors[name].shape), requires_grad=False)
        offset += count
    torch.save(views, directory / "pytorch_model-00002-of-00002.bin")
    parts = {name: f"pytorch_model-0000{1 if i < half else 2}-of-00002.bin" for i, name in enumerate(names)}
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": parts}))


def test_parts_saved_by_torch(program, smollm_directory, tmp_path):
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    source = pathlib.Path(smollm_directory)
    for path in source.glob("*.json"):
        if not path.name.endswith(".index.json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = {}
    for path in source.glob("*.safetensors"):
        tensors.update(load_file(path))
    save(tmp_path, torch, tensors)
    assert logits(program, tmp_path) == logits(program, smollm_directory)


def test_a_pickle_that_calls_something_is_refused(program, smollm_directory, tmp_path):
    torch = pytest.importorskip("torch")

    class Attack:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "owned",))

    (tmp_path / "config.json").write_bytes((pathlib.Path(smollm_directory) / "config.json").read_bytes())
    torch.save({"model.norm.weight": Attack()}, tmp_path / "pytorch_model.bin")
    done = subprocess.run([program, "debug", "logits", str(tmp_path), "--input-ids", "1", "--device", "cpu"],
                          capture_output=True, text=True)
    assert done.returncode != 0
    assert "Nothing was called" in done.stderr, done.stderr
    assert not (tmp_path / "owned").exists()
