"""Perplexity of a model's own path (int8 activations) beside its dequantized fp32 path.

usage: perplexity.py PROGRAM MODEL TEXT [--tokens 50000] [--window 1024]

Each window of tokens is scored by itself with `lmdeploy debug logits --json`.
"""

import argparse
import json
import math
import subprocess
import sys


def call(*command: str) -> dict:
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def score(args, ids: list[int], dtype: str) -> tuple[float, int]:
    total, count = 0.0, 0
    for begin in range(0, len(ids) - 1, args.window):
        window = ids[begin:begin + args.window]
        if len(window) < 2:
            break
        numbers = call(args.program, "debug", "logits", args.model, "--device", "cpu", "--dtype", dtype, "--json",
                       "--input-ids", ",".join(map(str, window)))
        total -= sum(numbers["next_logprobs"])
        count += len(numbers["next_logprobs"])
        print(f"\r{dtype}: {count} tokens, perplexity {math.exp(total / count):.4f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return total / count, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--window", type=int, default=1024)
    args = parser.parse_args()
    ids = call(args.program, "debug", "tokens", args.model, "--file", args.text, "--no-special", "--json")["ids"]
    ids = ids[:args.tokens]
    own, count = score(args, ids, "auto")
    exact, _ = score(args, ids, "float32")
    difference = math.exp(own - exact) - 1
    print(f"tokens {count}  own path {math.exp(own):.4f}  fp32 {math.exp(exact):.4f}  difference {100 * difference:+.3f}%")


if __name__ == "__main__":
    main()
