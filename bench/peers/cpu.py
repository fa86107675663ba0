"""The CPU table: our engine beside OpenVINO GenAI and llama.cpp, on one file, the same token ids and threads.

usage: cpu.py [--rounds N] [--threads N] [--model FILE ...] [--works NAME ...] [--engines NAME ...] [--no-amx]

bench/peers/cpu.sh installs the peers and runs this. The engines take turns, round by round; a figure is
the median of the rounds. Without --model the default model has every work, and Gemma 3 270M decode and
a prompt of 512. RUN_WITH in the environment is put before every measured command (`taskset -c 0,1`).
"""

import argparse
import json
import os
import pathlib
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "build" / "peers"
MODELS = ROOT / "build" / "models"
PROGRAM = os.environ.get("LMDEPLOY_BIN", str(ROOT / "build" / "bin" / "lmdeploy"))
ID_LISTS, IDS_EACH, LEAST_ID, LAST_ID = 64, 2048, 100, 49151  # ids of text in every model of the tables


@dataclass(frozen=True)
class Work:
    name: str
    streams: int
    prompt: int
    answer: int
    rounds: int  # times in a row; 0: once, without a warm-up

    def __str__(self):
        return f"{self.streams},{self.prompt},{self.answer},{self.rounds}"

    def tokens(self):
        """What its speed counts: prompt tokens where one answer token shows the prompt's end."""
        return self.streams * max(self.rounds, 1) * (self.prompt if self.answer == 1 else self.answer)


ALONE = [Work("decode, batch 1", 1, 1, 128, 2), Work("prompt of 128", 1, 128, 1, 2),
         Work("prompt of 512", 1, 512, 1, 2), Work("prompt of 2,048", 1, 2048, 1, 2)]
STREAMS = [Work(f"{n} stream{'s' * (n > 1)}, 128 + 128", n, 128, 128, 1) for n in (1, 4, 16, 64)]
PROCESSES = [ALONE, STREAMS[:-1], STREAMS[-1:]]
START = Work("start to first token", 1, 32, 1, 0)  # a process from its exec to its end
START_SECONDS = f"{START.name}, s"
START_PROMPT = "What is the capital of France?"
START_MEMORY = "peak memory until then, MiB"
EVENTS = ("instructions", "power/energy-pkg/")
GEMMA_WORKS = ["decode, batch 1", "prompt of 512"]


def measured(*command):
    """(seconds, peak MiB, events, share of the processors that others took) of a command; its output is dropped."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report"
        prefix = shlex.split(os.environ.get("RUN_WITH", ""))
        done = subprocess.run([*prefix, sys.executable, __file__, "--child", str(report), *map(str, command)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ChildProcessError(f"exit status {done.returncode}: {reason}")
        return json.loads(report.read_text())


def child(report, command):
    """Runs a command in the conditions of RUN_WITH and writes what it took."""
    counts = pathlib.Path(report + ".counts")
    events = counted_events()
    if events:
        command = ["perf", "stat", "-x", ",", "-o", str(counts), "-e", ",".join(events), *command]
    busy, start = busy_seconds(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    others = busy_seconds() - busy - used.ru_utime - used.ru_stime
    rows = [line.split(",") for line in counts.read_text().splitlines()] if events else []
    figures = {"seconds": seconds, "memory": used.ru_maxrss / 1024, "others": others / seconds / os.cpu_count(),
               "events": {row[2]: float(row[0]) for row in rows if len(row) > 2}}
    pathlib.Path(report).write_text(json.dumps(figures))
    sys.exit(0 if status == 0 else 1)


def counted_events():
    """Those of EVENTS that this machine counts."""
    counted = []
    for event in EVENTS:
        try:
            done = subprocess.run(["perf", "stat", "-x", ",", "-e", event, "true"], capture_output=True, text=True)
        except FileNotFoundError:
            return []
        if done.returncode == 0 and done.stderr.strip()[:1].isdigit():
            counted.append(event)
    return counted


def busy_seconds():
    """Processor time of everything on the machine, the hypervisor's other guests included."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Lmdeploy:
    name = "lmdeploy"

    def command(self, model, threads, works, output):
        """Works that differ in streams have one prompt and answer length, and the others one stream."""
        streams = sorted({work.streams for work in works})
        lengths = dict.fromkeys((work.prompt, work.answer) for work in works)
        rounds = works[0].rounds
        return [PROGRAM, "bench", "generation", model, "--device", "cpu", "--cpu-threads", threads, "--prompt-ids",
                PEERS / "ids.json", "-c", *streams, "-pt", *(prompt for prompt, _ in lengths), "-ct",
                *(answer for _, answer in lengths), "-tr", rounds, "-w", int(works[0] in ALONE), "--csv", "",
                "--output-file", output]

    def seconds(self, output, works):
        results = {(row["concurrency"], row["prompt_length"], row["completion_length"]): row["seconds"]
                   for row in json.loads(output.read_text())["results"]}
        return {work: results[work.streams, work.prompt, work.answer] for work in works}

    def start_command(self, model, threads):
        return [PROGRAM, "chat", model, "--device", "cpu", "--cpu-threads", threads, "-p", START_PROMPT,
                "--max-new-tokens", "1"]


class Driver:
    """A peer's driver: `COMMAND MODEL IDS THREADS [SETTING] WORK...`, one line of JSON on its output."""

    def __init__(self, name, command, *settings):
        self.name, self.driver, self.settings = name, command, settings

    def command(self, model, threads, works, output):
        words = [*self.driver, model, PEERS / "ids.json", threads, *self.settings, *works]
        return ["sh", "-c", '"$@" >"$0"', output, *words]

    def seconds(self, output, works):
        rows = json.loads(output.read_text())["works"]
        return {work: row["seconds"] for work, row in zip(works, rows)}

    def start_command(self, model, threads):
        return self.command(model, threads, [START], "/dev/null")


LLAMA = PEERS / "llama_cpp_driver"
LLAMA_NO_AMX = PEERS / "llama_cpp_driver_no_amx"
# What keeps ours and OpenVINO's oneDNN from using the AMX of a processor that has it; llama.cpp is built without it.
NO_AMX = {"LMDEPLOY_CPU_ISA": "avx512bf16", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
OPENVINO = [PEERS / "openvino" / "bin" / "python", ROOT / "bench" / "peers" / "openvino_driver.py"]
ENGINES = [Lmdeploy(), Driver("OpenVINO bf16", OPENVINO, "bf16"), Driver("OpenVINO f32", OPENVINO, "f32"),
           Driver("llama.cpp", [LLAMA])]


def measure(engine, model, threads, names, notes):
    """One round of an engine: row name -> figure, and the share of the processors that others took. A process that
    fails leaves its rows out and its reason in `notes`."""
    figures, others = {}, [0.0]

    def run(*command):
        try:
            process = measured(*command)
        except ChildProcessError as error:
            notes[f"{engine.name}: {error}"] = None
            return None
        others.append(process["others"])
        return process

    for group in PROCESSES:
        works = [work for work in group if work.name in names]
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder) / "figures.json"
            if works and run(*engine.command(model, threads, works, output)):
                seconds = engine.seconds(output, works)
                figures.update({work.name: work.tokens() / seconds[work] for work in works})
    if START.name in names and (process := run(*engine.start_command(model, threads))):
        figures.update({START_SECONDS: process["seconds"], START_MEMORY: process["memory"]})
        figures.update({f"{event} until then": count for event, count in process["events"].items()})
    return figures, max(others)


def write_ids():
    numbers = random.Random(0)
    lists = [[numbers.randint(LEAST_ID, LAST_ID) for _ in range(IDS_EACH)] for _ in range(ID_LISTS)]
    (PEERS / "ids.json").write_text(json.dumps(lists))


def run_table(model, engines, names, rounds, threads):
    """Runs the rounds and prints the table of one model."""
    runs, notes, others = {engine.name: [] for engine in engines}, {}, 0.0
    for turn in range(rounds):
        start = time.monotonic()
        for engine in engines:
            figures, taken = measure(engine, model, threads, names, notes)
            runs[engine.name].append(figures)
            others = max(others, taken)
        seconds = time.monotonic() - start
        left = seconds * (rounds - turn - 1)
        print(f"{model.name}: round {turn + 1} of {rounds} took {seconds:.0f} s, the rest takes about {left:.0f} s",
              file=sys.stderr, flush=True)
    print(f"\n{model.name}, medians of {rounds} rounds in turn; others took at most {100 * others:.0f}% "
          "of the processors in a run\n")
    print(f"| work (tok/s) | {' | '.join(runs)} |\n|{'---|' * (len(runs) + 1)}")
    for row in dict.fromkeys(row for done in runs.values() for figures in done for row in figures):
        print(f"| {row} | {' | '.join(median_cell(row, done) for done in runs.values())} |")
    for note in notes:
        print(f"\n{note}")


def median_cell(row, rounds):
    values = [figures[row] for figures in rounds if row in figures]
    if not values:
        return "–"
    return f"{statistics.median(values):,.{2 if row == START_SECONDS else 0}f}"


def print_machine(threads, no_amx):
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    known = ["avx2", "avx_vnni", "avx512_vnni", "avx512_bf16"]
    if not no_amx:
        known += ["amx_int8", "amx_bf16"]
    sets = [flag for flag in known if flag in flags]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    versions = [f"{name} {os.environ.get(variable, 'of unknown version')}" for name, variable in
                (("OpenVINO GenAI", "OPENVINO_GENAI"), ("llama.cpp of llama-cpp-python", "LLAMA_CPP_PYTHON"))]
    print(f"{threads} threads of {model} ({', '.join(sets)}); lmdeploy at {commit.strip()}, {', '.join(versions)}; "
          f"perf counts here: {', '.join(counted_events()) or 'nothing'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = [work.name for work in [*ALONE, *STREAMS, START]]
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", type=pathlib.Path, nargs="+", default=[])
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--works", nargs="+", choices=works, default=works, metavar="NAME",
                        help=f"of: {'; '.join(works)}")
    parser.add_argument("--engines", nargs="+", choices=names, default=names, metavar="NAME",
                        help=f"of: {'; '.join(names)}")
    parser.add_argument("--no-amx", action="store_true", help="keep every engine from using AMX")
    args = parser.parse_args()
    if args.no_amx:
        if "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
            os.environ.update(NO_AMX)
        ENGINES[-1].driver = [LLAMA_NO_AMX]
    engines = [engine for engine in ENGINES if engine.name in args.engines]
    write_ids()
    print_machine(args.threads, args.no_amx)
    for model in args.model or [MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"]:
        run_table(model, engines, args.works, args.rounds, args.threads)
    gemma = [work for work in args.works if work in GEMMA_WORKS]
    if gemma and not args.model:
        run_table(MODELS / "gemma-3-270m-Q4_K_M.gguf", engines, gemma, args.rounds, args.threads)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    main()
