#!/usr/bin/env python3
"""Writes a Hugging Face directory of random weights for a Llama config.json: input for load benchmarks.

    tools/make_checkpoint.py CONFIG_DIR OUT_DIR [--shard-gb 5]

Values are bf16 or f16 (the configuration's torch_dtype) of about normal(0, 0.02); tensors are cut into
shards as `save_pretrained` does. Needs numpy alone.
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

DTYPES = {"bfloat16": "BF16", "float16": "F16"}


def tensors(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    q, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        root = f"model.layers.{layer}."
        for name, shape in (("self_attn.q_proj", (q, hidden)), ("self_attn.k_proj", (kv, hidden)),
                            ("self_attn.v_proj", (kv, hidden)), ("self_attn.o_proj", (hidden, q)),
                            ("mlp.gate_proj", (inner, hidden)), ("mlp.up_proj", (inner, hidden)),
                            ("mlp.down_proj", (hidden, inner)), ("input_layernorm", (hidden,)),
                            ("post_attention_layernorm", (hidden,))):
            yield f"{root}{name}.weight", shape
    yield "model.norm.weight", (hidden,)
    if not config.get("tie_word_embeddings"):
        yield "lm_head.weight", (config["vocab_size"], hidden)


def values(shape, dtype, pool, rng):
    """One buffer of bytes: norms are 1, matrices a random cut of `pool`, rolled."""
    count = int(np.prod(shape))
    if len(shape) == 1:
        one = 0x3F80 if dtype == "BF16" else 0x3C00
        return np.full(count, one, np.uint16)
    out = np.empty(count, np.uint16)
    for begin in range(0, count, len(pool)):
        part = out[begin:begin + len(pool)]
        part[:] = np.roll(pool, int(rng.integers(len(pool))))[:len(part)]
    return out


def normal_pool(dtype, rng, size=1 << 22):
    floats = rng.normal(0, 0.02, size).astype(np.float32)
    if dtype == "F16":
        return floats.astype(np.float16).view(np.uint16)
    return (floats.view(np.uint32) >> 16).astype(np.uint16)


def write_shard(path, entries, dtype, pool, rng):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in entries:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        for _, shape in entries:
            out.write(values(shape, dtype, pool, rng).data)
    return offset


def shards(config, limit):
    current, size = [], 0
    for name, shape in tensors(config):
        bytes_ = 2 * int(np.prod(shape))
        if current and size + bytes_ > limit:
            yield current
            current, size = [], 0
        current.append((name, shape))
        size += bytes_
    yield current


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config_dir", type=pathlib.Path)
    parser.add_argument("out_dir", type=pathlib.Path)
    parser.add_argument("--shard-gb", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config = json.loads((arguments.config_dir / "config.json").read_text())
    dtype = DTYPES[config.get("torch_dtype", "bfloat16")]
    rng = np.random.default_rng(arguments.seed)
    pool = normal_pool(dtype, rng)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    parts = list(shards(config, int(arguments.shard_gb * 1e9)))
    index, total = {}, 0
    for i, entries in enumerate(parts):
        name = f"model-{i + 1:05}-of-{len(parts):05}.safetensors" if len(parts) > 1 else "model.safetensors"
        total += write_shard(arguments.out_dir / name, entries, dtype, pool, rng)
        index.update({tensor: name for tensor, _ in entries})
        print(f"{name}: {len(entries)} tensors")
    if len(parts) > 1:
        (arguments.out_dir / "model.safetensors.index.json").write_text(
            json.dumps({"metadata": {"total_size": total}, "weight_map": index}))
    for extra in arguments.config_dir.iterdir():
        shutil.copy(extra, arguments.out_dir / extra.name)
    print(f"{arguments.out_dir}: {total / 1e9:.2f} GB of tensors")


if __name__ == "__main__":
    main()
