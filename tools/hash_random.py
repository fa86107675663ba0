#!/usr/bin/env python3
"""The random numbers of src/base/random.h in numpy, and the weights that `--load-format dummy` makes.

Element i of tensor NAME is mean + stddev * hash_normal(hash_name(NAME), i) in float64, rounded to
float32 and then to the dtype: the same bits as src/checkpoint/dummy_weights.cc. numpy's log and cos
may differ from the C library's in the last bit of a float64, which a rounding to float32 shows about
once in 10^8 elements.

usage: hash_random.py --golden FILE      writes tests/data/checkpoint/hash_random.json
"""
import argparse
import json

import numpy as np

U64 = np.uint64
GOLDEN_TENSORS = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "x"]
GOLDEN_INDICES = [0, 1, 2, 3, 1000, 123456789, (1 << 40) + 7]


def mix64(x):
    """SplitMix64's finalizer of a uint64 array."""
    with np.errstate(over="ignore"):
        x = x + U64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


def hash_name(name):
    """FNV-1a of the name's UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def uniform(key, counters):
    """Uniform in (0, 1), float64."""
    bits = mix64(mix64(np.array([key], U64)) ^ counters)
    return ((bits >> U64(11)).astype(np.float64) + 0.5) * 2.0**-53


def hash_normal(key, indices):
    """Standard normal of (key, index): Box-Muller, the cosine branch. float64."""
    counters = np.asarray(indices, U64) * U64(2)
    u, v = uniform(key, counters), uniform(key, counters + U64(1))
    return np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586476925 * v)


def to_bf16_bits(values):
    """float32 -> bfloat16 bits, to nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def random_tensor(name, shape, mean=0.0, stddev=0.02):
    """float32 values of the tensor; mean and stddev are rounded to float32 as C++ holds them."""
    count = int(np.prod(shape, dtype=np.int64))
    normal = hash_normal(hash_name(name), np.arange(count, dtype=np.uint64))
    values = float(np.float32(mean)) + float(np.float32(stddev)) * normal
    return values.astype(np.float32).reshape(shape)


def write_golden(path):
    cases = []
    for name in GOLDEN_TENSORS:
        normal = hash_normal(hash_name(name), GOLDEN_INDICES)
        cases.append({"name": name, "hash": str(hash_name(name)), "indices": GOLDEN_INDICES,
                      "normal": [float(x) for x in normal]})
    tensor = random_tensor("layer.weight", (6, 8), mean=1.0, stddev=0.02)
    golden = {"cases": cases,
              "tensor": {"name": "layer.weight", "rows": 6, "cols": 8, "mean": 1.0, "stddev": 0.02,
                         "f32_bits": tensor.view(np.uint32).flatten().tolist(),
                         "f16_bits": tensor.astype(np.float16).view(np.uint16).flatten().tolist(),
                         "bf16_bits": to_bf16_bits(tensor).flatten().tolist()}}
    with open(path, "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", required=True, help="file to write")
    write_golden(parser.parse_args().golden)


if __name__ == "__main__":
    main()
