"""`lmdeploy bench`: the three benchmarks on a real model, in this process and over HTTP."""

import csv
import json
import subprocess
import time
import urllib.request

import pytest

PORT = 23417


def run(program, *arguments, cwd):
    return subprocess.run([program, "bench", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def lengths(tmp_path):
    path = tmp_path / "lengths.json"
    path.write_text("[[5, 7], [17, 3], [2, 9]]")
    return str(path)


def test_generation_counts_every_combination(program, smollm, tmp_path):
    done = run(program, "generation", smollm, "--device", "cpu", "-c", "1", "2", "-pt", "1", "16", "-ct", "8", "4",
               "-tr", "2", "-w", "1", "--output-file", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "profile_generation.csv").open()))
    assert [(r["batch"], r["prompt_tokens"], r["completion_tokens"]) for r in rows] == [
        ("1", "1", "8"), ("1", "16", "4"), ("2", "1", "8"), ("2", "16", "4")]
    assert all(float(r["throughput(out tok/s)"]) > 0 and float(r["mem(GB)"]) > 0 for r in rows)
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [r["completion_tokens"] for r in results] == [16, 8, 32, 16]
    assert all(r["limit_seconds"] > 0 for r in results)
    assert done.stdout.count("physical limit") == 4


def test_throughput_of_a_lengths_file(program, smollm, tmp_path, lengths):
    done = run(program, "throughput", smollm, "--device", "cpu", "--lengths", lengths, "-c", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "number of prompt tokens: 24\n" in done.stdout
    assert "number of completion tokens: 19\n" in done.stdout
    (row,) = csv.DictReader((tmp_path / "profile_throughput.csv").open())
    assert row["batch"] == "2" and row["num_promts"] == "3"


def test_sharegpt_rule(program, smollm, tmp_path):
    """1,100 short conversations, of which only those of at least 4 + 4 tokens count."""
    talks = [{"conversations": [{"value": "Tell me a story about the sea."}, {"value": "Once there was a ship."}]},
             {"conversations": [{"value": "Hi"}, {"value": "Hello there, my good old friend."}]},
             {"conversations": [{"value": "only one turn of a talk"}]}] * 1100
    (tmp_path / "talks.json").write_text(json.dumps(talks))
    done = run(program, "throughput", smollm, "--device", "cpu", "--dataset", "talks.json", "-n", "4", "-c", "4", "--csv", "",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "number of prompt tokens: 32\n" in done.stdout, done.stdout
    few = run(program, "throughput", smollm, "--device", "cpu", "--dataset", "talks.json", "-n", "3000", cwd=tmp_path)
    assert few.returncode != 0 and "3600 are needed" in few.stderr


@pytest.fixture
def server(program, smollm):
    process = subprocess.Popen([program, "serve", "api_server", smollm, "--device", "cpu", "--server-port", str(PORT),
                                "--api-keys", "secret"], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{PORT}"
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("stream", ["--stream-output", "--no-stream-output"])
def test_serving_counts_what_clients_receive(program, server, tmp_path, lengths, stream):
    done = run(program, "serving", server, "--api-key", "secret", "--lengths", lengths, "-c", "2", stream,
               "--output-file", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert result["completion_tokens"] == 19 and result["failed"] == 0
    refused = run(program, "serving", server, "--model-name", "m", "--lengths", lengths, cwd=tmp_path)
    assert refused.returncode != 0 and "HTTP 401" in refused.stderr


def test_what_cannot_be_measured_is_refused(program, smollm, tmp_path, lengths):
    for arguments, words in ((["throughput", smollm, "--device", "cpu"], "give one of --dataset"),
                             (["generation", smollm, "--device", "cpu", "-pt", "1", "2", "-ct", "1"], "they are pairs"),
                             (["serving", "http://127.0.0.1:1", "--lengths", lengths], "127.0.0.1")):
        done = run(program, *arguments, cwd=tmp_path)
        assert done.returncode != 0 and words in done.stderr, done.stderr


def test_dummy_weights_need_a_configuration_alone(program, tmp_path):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 128,
              "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
              "vocab_size": 1000, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu",
              "rope_theta": 10000.0, "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = run(program, "generation", str(tmp_path), "--device", "cpu", "--load-format", "dummy", "-c", "2", "-pt", "9", "-ct", "5",
               "--csv", "", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "number of completion tokens: 30\n" in done.stdout
    missing = run(program, "generation", str(tmp_path), "--device", "cpu", cwd=tmp_path)
    assert missing.returncode != 0
