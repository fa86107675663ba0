"""Speed of OpenVINO GenAI's continuous batching on the work that bench/peers/cpu.py measures every engine with.

usage: openvino_driver.py MODEL IDS THREADS PRECISION WORK...

MODEL is a .gguf file of an architecture that OpenVINO GenAI reads (Llama, Qwen 2 and 3), IDS a JSON list of
lists of token ids; request r has the first ids of list r modulo their count. PRECISION is bf16 or f32: what
OpenVINO computes in; the weights stay in the file's 4 and 8 bits. WORK is STREAMS,PROMPT,ANSWER,ROUNDS: so
many requests at a time, so many times; 0 rounds is once without a warm-up.

One line of JSON: seconds to load, and of each work the seconds from the first request to the last token.
Draws are greedy; end ids stop nothing.
"""

import json
import sys
import time

import numpy as np
import openvino_genai
from openvino import Tensor

LONGEST_STEP = 2048  # tokens; OpenVINO's own default of 256 splits prompts, which costs it a tenth


def load(model, threads, precision):
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.max_num_batched_tokens = LONGEST_STEP
    return openvino_genai.ContinuousBatchingPipeline(
        model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision})


def run(pipeline, ids, first, streams, prompt, answer):
    config = openvino_genai.GenerationConfig(max_new_tokens=answer, ignore_eos=True, do_sample=False)
    prompts = [Tensor(np.array([ids[(first + i) % len(ids)][:prompt]], np.int64)) for i in range(streams)]
    answers = pipeline.generate(prompts, [config] * streams)
    generated = sum(len(each.m_generation_ids[0]) for each in answers)
    if generated != streams * answer:
        sys.exit(f"openvino_driver.py: {generated} tokens generated, expected {streams * answer}")


def main():
    model, ids_file, threads, precision, *works = sys.argv[1:]
    with open(ids_file) as file:
        ids = json.load(file)
    start = time.monotonic()
    pipeline = load(model, int(threads), precision)
    figures = {"load_seconds": time.monotonic() - start, "works": []}
    for work in works:
        streams, prompt, answer, rounds = map(int, work.split(","))
        if rounds > 0:
            run(pipeline, ids, 0, min(streams, 2), prompt, min(answer, 4))
        before = time.monotonic()
        for turn in range(max(rounds, 1)):
            run(pipeline, ids, turn * streams, streams, prompt, answer)
        figures["works"].append({"work": work, "seconds": time.monotonic() - before})
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
