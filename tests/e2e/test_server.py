"""`lmdeploy serve api_server` with a real model, asked by the real `openai` client and by raw sockets.

Needs LMDEPLOY_BIN (the program); LMDEPLOY_MODEL overrides the model (default: SmolLM2-135M-Instruct).
"""

import concurrent.futures
import http.client
import json
import math
import os
import signal
import socket
import subprocess
import time

import openai
import pytest

from conftest import model

KEY = "sk-test"
NAME = "smol"


def model_path():
    if "LMDEPLOY_MODEL" in os.environ:
        return os.environ["LMDEPLOY_MODEL"]
    return model("SmolLM2-135M-Instruct.Q4_1.gguf")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process on 127.0.0.1."""

    def __init__(self, log_path, *flags, address="127.0.0.1"):
        self.port = free_port()
        self.log_path = str(log_path)
        self.log = open(self.log_path, "wb")
        command = [os.environ["LMDEPLOY_BIN"], "serve", "api_server", model_path(), "--server-name",
                   address, "--server-port", str(self.port), "--model-name", NAME, "--device", "cpu",
                   "--log-level", "INFO", "--session-len", "2048", *flags]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.time() + 120
        while time.time() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if self.request("GET", "/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError("the server did not start:\n" + self.log_text())

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, parsed or raw body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            sent = {"Authorization": "Bearer " + KEY, "Content-Type": "application/json"}
            sent.update(headers or {})
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            connection.request(method, path, body, {k: v for k, v in sent.items() if v is not None})
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, answer.headers, json.loads(text)
            except ValueError:
                return answer.status, answer.headers, text.decode()
        finally:
            connection.close()

    def metric(self, name):
        text = self.request("GET", "/metrics")[2]
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                  if line.startswith(name + "{") or line.startswith(name + " ")]
        assert values, name + " is not in /metrics"
        return sum(values)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def log_text(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server") / "log", "--api-keys", KEY)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=0, timeout=120)


def ask(client, text="What is the capital of France?", **more):
    return client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": text}],
                                          **{"temperature": 0, "max_tokens": 24, **more})


def eventually(condition, seconds=10):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.02)


# The openai client


def test_models(client):
    models = client.models.list().data
    assert [model.id for model in models] == [NAME]
    assert models[0].owned_by == "lmdeploy"


def test_answers_are_sensible(client):
    completion = client.completions.create(model=NAME, prompt="The capital of France is", max_tokens=4, temperature=0)
    assert "Paris" in completion.choices[0].text
    answer = ask(client, "What is two plus two?")
    assert len(answer.choices[0].message.content) > 10
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens <= 24


def test_stream_equals_whole(client):
    whole = ask(client)
    text, usage, finish = "", None, None
    stream = ask(client, stream=True, stream_options={"include_usage": True})
    for chunk in stream:
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens


def test_choices_and_seeds(client):
    options = dict(n=3, temperature=1.2, seed=7, top_p=1, extra_body={"top_k": 0})
    first = ask(client, "Tell a story.", **options)
    second = ask(client, "Tell a story.", **options)
    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    assert texts == [choice.message.content for choice in second.choices]
    # Choice i draws with seed + i.
    alone = ask(client, "Tell a story.", **{**options, "n": 1, "seed": 8})
    assert alone.choices[0].message.content == texts[1]


def test_stop_strings(client):
    plain = ask(client, "Count from one to ten in words.", max_tokens=40).choices[0].message.content
    stop = plain[len(plain) // 2:][:4]
    answer = ask(client, "Count from one to ten in words.", max_tokens=40, stop=[stop])
    assert answer.choices[0].message.content == plain[:plain.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_logprobs(client):
    content = ask(client, logprobs=True, top_logprobs=3, max_tokens=5).choices[0].logprobs.content
    assert len(content) == 5
    for token in content:
        assert bytes(token.bytes).decode(errors="replace") == token.token
        assert len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob <= 0  # greedy
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob


def test_logit_bias(client, server):
    ids = server.request("POST", "/v1/encode", {"input": " Paris", "add_bos": False})[2]["input_ids"]
    answer = ask(client, logit_bias={str(i): -100 for i in ids})
    assert " Paris" not in answer.choices[0].message.content


def test_completions(client):
    answer = client.completions.create(model=NAME, prompt=["Two plus two is", "The sky is"], max_tokens=6,
                                       temperature=0, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text == answer.choices[1].text
    assert answer.choices[0].text != answer.choices[2].text
    assert answer.usage.completion_tokens == 24


def test_token_prompts_echo_and_logprobs(client, server):
    text = "The quick brown fox"
    ids = server.request("POST", "/v1/encode", {"input": text})[2]["input_ids"]
    by_text = client.completions.create(model=NAME, prompt=text, max_tokens=4, temperature=0)
    by_ids = client.completions.create(model=NAME, prompt=ids, max_tokens=4, temperature=0)
    assert by_text.choices[0].text == by_ids.choices[0].text
    echoed = client.completions.create(model=NAME, prompt=text, max_tokens=4, temperature=0, echo=True, logprobs=1)
    choice = echoed.choices[0]
    assert choice.text == text + by_text.choices[0].text
    assert len(choice.logprobs.tokens) == len(ids) + 4
    assert choice.logprobs.token_logprobs[0] is None
    assert all(value <= 0 for value in choice.logprobs.token_logprobs[1:])
    mean = sum(choice.logprobs.token_logprobs[1:len(ids)]) / (len(ids) - 1)
    ppl = server.request("POST", "/get_ppl", {"input": text})[2]["ppl"]
    assert ppl == pytest.approx(math.exp(-mean), rel=1e-3)


def test_streamed_completions(client):
    whole = client.completions.create(model=NAME, prompt=["One", "Two"], max_tokens=8, temperature=0)
    texts = ["", ""]
    for chunk in client.completions.create(model=NAME, prompt=["One", "Two"], max_tokens=8, temperature=0, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


def test_many_clients_get_what_one_gets(client):
    alone = [ask(client, f"Write about the number {i}.", max_tokens=16).choices[0].message.content for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(
            lambda i: ask(client, f"Write about the number {i}.", max_tokens=16).choices[0].message.content, range(8)))
    assert together == alone


# Errors


def test_errors_reach_the_client(client):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.BadRequestError, match="top_p"):
        ask(client, top_p=0)
    with pytest.raises(openai.BadRequestError, match="'tools' is not in this version"):
        ask(client, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
    with pytest.raises(openai.AuthenticationError):
        ask(client.with_options(api_key="wrong"))


def test_prompt_too_long_names_both_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "word " * 5000)
    numbers = [int(word) for word in caught.value.message.replace(",", " ").split() if word.isdigit()]
    assert any(number > 5000 for number in numbers) and 2048 in numbers


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "{\"model\": 1}", "[" * 10000, "{\"a\":" * 5000,
                                  b"\xff\xfe\x00", "{\"model\":\"smol\",\"messages\":[{\"role\":\"user\"}]}"])
def test_bad_bodies(server, body):
    status, _, answer = server.request("POST", "/v1/chat/completions", body)
    assert status == 400
    assert answer["error"]["message"] and answer["error"]["type"] == "invalid_request_error"


def test_huge_body(server):
    status, _, answer = server.request("POST", "/v1/chat/completions", b"x" * (20 << 20))
    assert status == 413 and "error" in answer


def test_keys(server):
    for path in ("/v1/models", "/metrics", "/nothing"):
        assert server.request("GET", path, headers={"Authorization": None})[0] == 401
    assert server.request("GET", "/health", headers={"Authorization": None})[0] == 200


def test_max_tokens_null_is_the_rest_of_the_window(server):
    status, _, answer = server.request("POST", "/v1/chat/completions", {
        "model": NAME, "messages": "word " * 2000, "max_tokens": None, "ignore_eos": True})
    assert status == 200
    assert answer["usage"]["total_tokens"] == 2048
    assert answer["choices"][0]["finish_reason"] == "length"


# Clients that leave, full queues, shutdown


def long_request(server, stream=True):
    body = json.dumps({"model": NAME, "messages": [{"role": "user", "content": "Tell a long story."}],
                       "max_tokens": 1500, "ignore_eos": True, "stream": stream}).encode()
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                       b"Authorization: Bearer " + KEY.encode() + b"\r\nContent-Length: "
                       + str(len(body)).encode() + b"\r\n\r\n" + body)
    return connection


@pytest.mark.parametrize("stream", [True, False])
def test_client_gone_frees_its_slot(server, stream):
    eventually(lambda: server.metric("lmdeploy:num_requests_running") == 0)
    failed = server.metric("lmdeploy:num_requests_failed")
    connections = [long_request(server, stream) for _ in range(4)]
    eventually(lambda: server.metric("lmdeploy:num_requests_running") == 4)
    for connection in connections:
        connection.close()
    begin = time.time()
    eventually(lambda: server.metric("lmdeploy:num_requests_running") == 0)
    assert time.time() - begin < 2
    eventually(lambda: server.metric("lmdeploy:num_requests_failed") == failed + 4)


def test_full_queue_answers_429(tmp_path):
    server = Server(tmp_path / "log", "--max-batch-size", "1", "--max-queued-requests", "1")
    try:
        held = [long_request(server)]
        eventually(lambda: server.metric("lmdeploy:num_requests_running") == 1)
        held.append(long_request(server))
        eventually(lambda: server.metric("lmdeploy:num_requests_waiting") >= 1)
        status, headers, answer = server.request("POST", "/v1/completions", {"model": NAME, "prompt": "a"})
        assert status == 429 and int(headers["Retry-After"]) >= 1
        assert answer["error"]["code"] == "queue_full"
        for connection in held:
            connection.close()
        eventually(lambda: server.request("POST", "/v1/completions", {"model": NAME, "prompt": "a"})[0] == 200)
    finally:
        server.stop()


def test_idle_streams_are_small(tmp_path):
    server = Server(tmp_path / "log", "--max-batch-size", "1")
    try:
        held = [long_request(server)]  # takes the only slot; the others wait
        eventually(lambda: server.metric("lmdeploy:num_requests_running") == 1)
        held += [long_request(server) for _ in range(10)]
        eventually(lambda: server.metric("lmdeploy:num_requests_waiting") == 10)
        before = server.resident_bytes()
        held += [long_request(server) for _ in range(500)]
        eventually(lambda: server.metric("lmdeploy:num_requests_waiting") == 510, 30)
        grown = server.resident_bytes() - before
        print(f"{grown / 500:.0f} bytes a stream")
        assert grown < 10 << 20
        for connection in held:
            connection.close()
        eventually(lambda: server.metric("lmdeploy:num_requests_waiting") == 0)
    finally:
        server.stop()


def test_sigterm_drains(tmp_path):
    server = Server(tmp_path / "log")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0)
    stream = ask(client, max_tokens=100, stream=True, extra_body={"ignore_eos": True})
    pieces = [next(iter(stream))]
    server.process.send_signal(signal.SIGTERM)
    pieces += list(stream)
    assert pieces[-1].choices[0].finish_reason == "length"
    assert server.process.wait(20) == 0
    with pytest.raises(OSError):
        server.request("GET", "/health")
    server.stop()


def test_open_server_warns(tmp_path):
    server = Server(tmp_path / "log", address="0.0.0.0")
    server.stop()
    assert "--api-keys" in server.log_text()
