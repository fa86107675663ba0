"""The CPU table: our engine beside llama.cpp, alternating in one run on the same file and threads.

usage: cpu.py [--model FILE] [--threads N] [--rounds N]

Builds both where they are not there yet (bench/peers/llama_cpp.sh). Decode and prompt figures of
llama.cpp are llama-bench's, stream figures llama-batched-bench's generated tokens / (prefill + decode
time). Each figure is the median of the rounds.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LLAMA = ROOT / "build" / "peers" / "llama.cpp" / "bin"
OURS = ROOT / "build" / "cpu" / "bench" / "engine_bench"
PROMPTS = (128, 512, 2048)
STREAMS = (4, 16)


def output(*command) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout


def run_ours(model, threads) -> dict:
    return json.loads(output(OURS, model, "--threads", threads, "--json"))


def run_llama(model, threads) -> dict:
    figures = {}
    rows = json.loads(output(LLAMA / "llama-bench", "-m", model, "-t", threads, "-o", "json", "-r", 2, "-n", 128,
                             "-p", ",".join(map(str, PROMPTS))))
    for row in rows:
        name = f"prompt of {row['n_prompt']}" if row["n_prompt"] else "decode, batch 1, 128 tokens"
        figures[name] = row["avg_ts"]
    for streams in STREAMS:
        text = output(LLAMA / "llama-batched-bench", "-m", model, "-t", threads, "-tb", threads, "-npp", 128, "-ntg", 128,
                      "-npl", streams, "-c", streams * 256 + 64, "-b", 2048, "-ub", 512)
        row = next(line for line in text.splitlines() if re.match(rf"\|\s*128 \|\s*128 \|\s*{streams} \|", line))
        fields = [field.strip() for field in row.strip("|").split("|")]
        prefill_seconds, decode_seconds = float(fields[4]), float(fields[6])
        figures[f"{streams} streams, 128 + 128"] = streams * 128 / (prefill_seconds + decode_seconds)
    return figures


def cpu_model() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=ROOT / "build/models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    subprocess.run([ROOT / "bench/peers/llama_cpp.sh"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", ROOT / "build/cpu", "engine_bench"], check=True, stdout=subprocess.DEVNULL)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(run_ours(args.model, args.threads))
        theirs.append(run_llama(args.model, args.threads))
    commit = output("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()
    print(f"{pathlib.Path(args.model).name}, {args.threads} threads, {cpu_model()} ({ours[0]['device']}), commit {commit}, "
          f"median of {args.rounds}\n")
    print("| work | lmdeploy tok/s | llama.cpp tok/s | ratio |\n|---|---|---|---|")
    for name in theirs[0]:
        if name not in ours[0]:
            continue
        mine = statistics.median(run[name] for run in ours)
        peer = statistics.median(run[name] for run in theirs)
        print(f"| {name} | {mine:.1f} | {peer:.1f} | {mine / peer:.2f} |")
    print(f"\nlmdeploy: load {statistics.median(r['load_seconds'] for r in ours):.3f} s, peak RSS after load "
          f"{ours[0]['rss_after_load_kib'] / 1024:.1f} MiB")


if __name__ == "__main__":
    main()
