"""Writes tests/data/kernels/dequant_golden.bin: random GGUF blocks and what `gguf` makes of them.

For each block type of tests/kernels/dequant_test.cc, in its order: 512 elements' blocks, then 512
little-endian floats. Run: python tools/make_dequant_golden.py (needs gguf, numpy).
"""

import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

# type, bytes a block, elements a block, offsets of its float16 fields
FORMATS = [
    (T.Q4_0, 18, 32, [0]),
    (T.Q4_1, 20, 32, [0, 2]),
    (T.Q5_0, 22, 32, [0]),
    (T.Q5_1, 24, 32, [0, 2]),
    (T.Q8_0, 34, 32, [0]),
    (T.Q4_K, 144, 256, [0, 2]),
    (T.Q5_K, 176, 256, [0, 2]),
    (T.Q6_K, 210, 256, [208]),
]
ELEMENTS = 512


def main() -> None:
    rng = np.random.default_rng(1)
    out = bytearray()
    for kind, size, elements, fields in FORMATS:
        blocks = rng.integers(0, 256, (ELEMENTS // elements, size), dtype=np.uint8)
        for offset in fields:
            values = rng.normal(0, 0.02, len(blocks)).astype(np.float16)
            blocks[:, offset : offset + 2] = values.view(np.uint8).reshape(-1, 2)
        out += blocks.tobytes()
        out += dequantize(blocks.reshape(1, -1), kind).astype("<f4").tobytes()
    path = pathlib.Path(__file__).parent.parent / "tests/data/kernels/dequant_golden.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)


if __name__ == "__main__":
    main()
