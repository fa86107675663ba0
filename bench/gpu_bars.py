#!/usr/bin/env python3
"""What `bench/gpu.sh speed` left in a folder beside the bars of issue 4, as a table.

    bench/gpu_bars.py DIR

A figure is the median of its runs; the first of several in one process captures graphs and is left
out. A row whose files are missing says so.
"""
import json
import pathlib
import re
import statistics
import sys


class Runs:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def text(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def results(self, name):
        text = self.text(name + ".json")
        results = json.loads(text)["results"] if text else []
        return results[1:] if len(results) > 1 else results

    def tokens(self, name):
        return [r["completion_tokens_per_second"] for r in self.results(name)]

    def step_ms(self, name):
        steps = [r["decode_steps"] for r in self.results(name)]
        return [1e3 * s["seconds"] / s["steps"] for s in steps]

    def prompt_tokens(self, name):
        return [r["prompt_tokens"] / r["seconds"] for r in self.results(name)]

    def requests(self, name):
        trials = sorted(self.folder.glob(name + "-*.json"))
        return [self.results(path.stem)[0]["requests_per_second"] for path in trials]

    def numbers(self, name, pattern):
        return [float(x) for x in re.findall(pattern, self.text(name))]

    def attention(self, heads, work, unit):
        """GB/s as percent of the bandwidth, or TFLOP/s, of one row of attention_cuda_bench."""
        row = rf"{heads}\s+x 128\s+{work}[^\n]*?us\s+([\d.]+) {unit} \(\s*(\d+)%\)"
        found = re.findall(row, self.text("attention.txt"))
        return [float(percent if unit == "GB/s" else rate) for rate, percent in found[:1]]


def drawn_share(runs):
    drawn, greedy = runs.tokens("drawn-llama-2-7b"), runs.tokens("batch64-llama-2-7b")
    if not drawn or not greedy:
        return []
    return [100 * (1 - statistics.median(drawn) / statistics.median(greedy))]


def rows(runs):
    decode, chunk = r"64 seq x\s+1 queries of\s+2048\s", r"1 seq x\s+1024 queries of\s+8192\s"
    whole = r"1 seq x\s+8192 queries of\s+8192\s"
    return [
        ("Llama-2-7B f16, batch 1, 1 -> 512", runs.tokens("batch1-llama-2-7b"), 195, ">=", "tok/s"),
        ("Llama-3-8B bf16, the same", runs.tokens("batch1-llama-3-8b"), 172, ">=", "tok/s"),
        ("SmolLM2-1.7B dims, the same", runs.tokens("batch1-smollm2-1.7b"), 620, ">=", "tok/s"),
        ("Llama-2-7B, batch 64, 128 -> 512, mean decode step", runs.step_ms("batch64-llama-2-7b"), 9.7, "<=", "ms"),
        ("Llama-3-8B, the same", runs.step_ms("batch64-llama-3-8b"), 7.1, "<=", "ms"),
        ("top_k 40, top_p 0.8 slower than greedy, Llama-2-7B, batch 64", drawn_share(runs), 3, "<=", "%"),
        ("decode attention, 64 x 2048, 32/8 heads", runs.attention("32/8", decode, "GB/s"), 88, ">=", "% of read"),
        ("decode attention, 64 x 2048, 32/32 heads", runs.attention("32/32", decode, "GB/s"), 88, ">=", "% of read"),
        ("prefill attention, 8,192", runs.attention("32/8", whole, "TFLOP/s"), 550, ">=", "TFLOP/s"),
        ("prefill attention, 1,024 after 7,168", runs.attention("32/8", chunk, "TFLOP/s"), 450, ">=", "TFLOP/s"),
        ("prefill of one 8,000-token prompt, Llama-3-8B", runs.prompt_tokens("prefill-llama-3-8b"), 39000, ">=", "tok/s"),
        ("ShareGPT, 3,000 requests, Llama-2-7B", runs.requests("sharegpt-llama-2-7b"), 32, ">=", "requests/s"),
        ("ShareGPT, 3,000 requests, Llama-3-8B", runs.requests("sharegpt-llama-3-8b"), 62, ">=", "requests/s"),
        ("wall minus graphs of a step, batch 64", runs.numbers("loop.txt", r"beside them (-?[\d.]+) us"), 10, "<=", "us"),
        ("exec to first token, 13.5 GB in the page cache",
         [ms / 1e3 for ms in runs.numbers("first_token.txt", r"first token (\d+) ms")], 2.5, "<=", "s"),
    ]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("| work | measured | runs | bar | |\n|---|---|---|---|---|")
    for work, values, bar, relation, unit in rows(Runs(sys.argv[1])):
        if not values:
            print(f"| {work} | not run | 0 | {relation} {bar:,g} {unit} | |")
            continue
        value = statistics.median(values)
        met = value >= bar if relation == ">=" else value <= bar
        by = "met" if met else f"**missed** by {100 * abs(value / bar - 1):.1f}%"
        spread = f" ({min(values):,.4g} - {max(values):,.4g})" if len(values) > 1 else ""
        print(f"| {work} | {value:,.4g} {unit}{spread} | {len(values)} | {relation} {bar:,g} {unit} | {by} |")


main()
