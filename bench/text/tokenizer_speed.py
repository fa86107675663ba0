"""Encoding speed beside Hugging Face `tokenizers`, single thread, in one run, and how the time of
degenerate texts grows from 1 MB to 10 MB.

Usage: tokenizer_speed.py TOKENIZER_DRIVER [> bench/results/DATE-tokenizer.md]
TOKENIZER_DRIVER is the build target of that name. Both sides encode the same list of texts without
special tokens around them on one thread; processor time, which other programs on the machine do not
count in; best of 3; ours in the driver's process, theirs in this one.
"""
import datetime
import os
import pathlib
import struct
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import tokenizer_oracle as oracle  # noqa: E402

MIXED_BYTES = 1 << 20
MEGABYTE = 1_000_000
DEGENERATE = [("a letter", "a"), ("spaces", " "), ("emoji", "😀")]


def ours(driver, path, texts):
    """Seconds and tokens."""
    records = [text.encode() for text in texts]
    data = b"".join(struct.pack("<I", len(record)) + record for record in records)
    done = subprocess.run([driver, path, "time"], input=data, capture_output=True, check=True)
    seconds, _, count = done.stdout.split()
    return float(seconds), int(count)


def theirs(tokenizer, texts):
    best, count = float("inf"), 0
    for _ in range(3):
        start = time.process_time()
        encoded = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        best = min(best, time.process_time() - start)
        count = sum(len(one.ids) for one in encoded)
    return best, count


def english_texts():
    """Prose and code of this interpreter's own documentation: real text that every machine has."""
    import json, subprocess as a, threading as b, typing as c, argparse as d, email as e, logging as f  # noqa: E401
    sources = [pathlib.Path(module.__file__).read_text() for module in (json, a, b, c, d, e, f)]
    sources.append((ROOT / "README.md").read_text())
    joined = "\n".join(sources)
    return [joined[i:i + 4000] for i in range(0, len(joined), 4000)]


def load_seconds(driver, path):
    """Processor time of a process that loads the vocabulary and ends."""
    best = float("inf")
    for _ in range(5):
        process = subprocess.Popen([driver, path, "encode"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, _, used = os.wait4(process.pid, 0)
        best = min(best, used.ru_utime + used.ru_stime)
    return best


def repeated(unit, size):
    return unit * (size // len(unit.encode()))


def machine():
    out = subprocess.run(["lscpu"], capture_output=True, text=True).stdout
    info = dict(line.split(":", 1) for line in out.splitlines() if ":" in line)
    model = info.get("Model name", "?").strip()
    return f"{model} (family {info.get('CPU family', '?').strip()}, model {info.get('Model', '?').strip()}), {os.cpu_count()} CPUs"


def main():
    driver = sys.argv[1]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    import tokenizers
    print(f"# Tokenizer: encoding speed\n\n{datetime.date.today()}, commit {commit}, {machine()}; "
          f"Hugging Face tokenizers {tokenizers.__version__}, one thread each, processor time, best of 3; load average "
          f"{os.getloadavg()[0]:.1f} at the start. `bench/text/tokenizer_speed.py`.\n")
    print("| vocabulary | text | ours MB/s | tokenizers MB/s | ratio |\n|---|---|---|---|---|")
    vocabularies = [name for name in oracle.VOCABULARIES if oracle.path_of(name)]
    for name in vocabularies:
        tokenizer = oracle.hugging_face(name)
        for label, texts in (("English and code", english_texts()), ("mixed", oracle.mixed_texts(7, MIXED_BYTES, []))):
            size = sum(len(text.encode()) for text in texts) / 1e6
            mine, my_count = ours(driver, oracle.path_of(name), texts)
            hf, count = theirs(tokenizer, texts)
            assert my_count == count, (name, label, my_count, count)
            print(f"| {name} | {label} | {size / mine:.1f} | {size / hf:.2f} | {hf / mine:.1f}x |", flush=True)
    print("\n| vocabulary | loading, ms |\n|---|---|")
    for name in vocabularies:
        print(f"| {name} | {load_seconds(driver, oracle.path_of(name)) * 1e3:.0f} |", flush=True)
    print("\n| vocabulary | text | 1 MB, ms | 10 MB, ms | growth |\n|---|---|---|---|---|")
    for name in vocabularies:
        for label, unit in DEGENERATE:
            small, _ = ours(driver, oracle.path_of(name), [repeated(unit, MEGABYTE)])
            large, _ = ours(driver, oracle.path_of(name), [repeated(unit, 10 * MEGABYTE)])
            print(f"| {name} | {label} | {small * 1e3:.1f} | {large * 1e3:.1f} | {large / small:.1f}x |", flush=True)


main()
