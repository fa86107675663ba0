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
    # Batch-invariant: some tests compare answers given alone and in company.
    running = Server(tmp_path_factory.mktemp("server") / "log", "--api-keys", KEY, "--batch-invariant")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEY, max_retries=0, timeout=120)


def ask(client, text="What is the capital of France?", **more):
    return client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": text}],
                                          **{"temperature": 0, "max_tokens": 24, **more})


@pytest.fixture(scope="module")
def pieces():
    """The bytes of every token id, read from the file by the gguf package."""
    gguf = pytest.importorskip("gguf")
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in plain]
    byte_of = {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
    field = gguf.GGUFReader(model_path()).fields["tokenizer.ggml.tokens"]
    texts = [bytes(field.parts[i]).decode() for i in field.data]
    return [bytes(byte_of[c] for c in text) if all(c in byte_of for c in text) else text.encode()
            for text in texts]


def eventually(condition, seconds=10):
    deadline = time.time() + seconds
    while not condition():
        assert time.time() < deadline
        time.sleep(0.02)


# The openai client


def test_models(client):
    models = client.models.list().data
    assert [model.id for model in models] == [NAME]
    assert client.models.retrieve(NAME).max_model_len == 2048
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("some/other")
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


def test_logprobs(client, pieces):
    choice = ask(client, "Say good morning in Chinese, with an emoji.", logprobs=True, top_logprobs=3,
                 extra_body={"return_token_ids": True, "ignore_eos": True}).choices[0]
    content = choice.logprobs.content
    assert len(content) == 24
    assert [bytes(token.bytes) for token in content] == [pieces[i] for i in choice.message.gen_tokens]
    assert b"".join(bytes(token.bytes) for token in content).decode(errors="replace") == choice.message.content
    for token in content:
        assert token.token == bytes(token.bytes).decode(errors="replace")
        assert all(bytes(top.bytes) in pieces for top in token.top_logprobs)
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


def spelled(piece):
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def test_echoed_tokens_and_their_offsets(client, server, pieces):
    text = "Grüße an 世界 und 🙂🙂 "
    ids = server.request("POST", "/v1/encode", {"input": text})[2]["input_ids"]
    assert b"".join(pieces[i] for i in ids).decode() == text
    choice = client.completions.create(model=NAME, prompt=text, max_tokens=8, temperature=0, echo=True, logprobs=2,
                                       extra_body={"return_token_ids": True}).choices[0]
    ids += choice.gen_tokens
    assert choice.logprobs.tokens == [spelled(pieces[i]) for i in ids]
    assert any(token.startswith("bytes:") for token in choice.logprobs.tokens)
    # A token begins at the first character that is not whole before it.
    before = [b"".join(pieces[i] for i in ids[:k]) for k in range(len(ids))]
    assert choice.logprobs.text_offset == [len(part.decode(errors="ignore")) for part in before]
    for token, top in zip(choice.logprobs.tokens[1:], choice.logprobs.top_logprobs[1:]):
        assert 1 <= len(top) <= 2 and set(top) <= {spelled(piece) for piece in pieces}


def test_streamed_echo_of_several_choices(client):
    options = dict(model=NAME, prompt=["One, two", "Eins, zwei"], max_tokens=6, n=2, seed=3, echo=True, logprobs=1)
    whole = client.completions.create(**options).choices
    streamed = [dict(text="", tokens=[], text_offset=[], token_logprobs=[]) for _ in whole]
    for chunk in client.completions.create(**options, stream=True):
        for choice in chunk.choices:
            parts = streamed[choice.index]
            if not parts["text"]:
                assert choice.text == options["prompt"][choice.index // 2]  # the echo comes first, whole
                assert choice.logprobs.token_logprobs[0] is None
            parts["text"] += choice.text
            for name in ("tokens", "text_offset", "token_logprobs"):
                parts[name] += getattr(choice.logprobs, name)
    for parts, choice in zip(streamed, whole):
        assert parts == dict(text=choice.text, tokens=choice.logprobs.tokens,
                             text_offset=choice.logprobs.text_offset,
                             token_logprobs=choice.logprobs.token_logprobs)


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


def test_impossible_prompts_are_refused_unread(server):
    begin = time.time()
    status, _, answer = server.request("POST", "/v1/completions", {"model": NAME, "prompt": "word " * (3 << 20)})
    assert status == 400 and "2048" in answer["error"]["message"]
    assert "bytes are at least" in answer["error"]["message"]
    assert time.time() - begin < 5


@pytest.mark.parametrize("fields", ['"max_tokens":1e400', '"seed":123456789012345678901234567890', '"temperature":-1e308',
                                    '"n":9223372036854775808', '"logit_bias":{"1":"x"}', '"stop":["\\ud800"]',
                                    '"messages":[{"role":"user","content":"\xff"}]'])
def test_hostile_fields(server, fields):
    body = ('{"model":"smol","messages":[{"role":"user","content":"hi"}],' + fields + "}").encode("latin-1")
    status, _, answer = server.request("POST", "/v1/chat/completions", body)
    assert status == 400 and answer["error"]["message"]


def test_a_thousand_idle_connections(server):
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    for half_open in idle[:200]:
        half_open.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-")
    begin = time.time()
    status, _, answer = server.request("POST", "/v1/completions", {"model": NAME, "prompt": "a", "max_tokens": 2})
    assert status == 200 and time.time() - begin < 5
    for connection in idle:
        connection.close()
    assert server.request("GET", "/health")[0] == 200


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


def test_a_call_larger_than_the_queue_is_answered(tmp_path):
    server = Server(tmp_path / "log", "--max-queued-requests", "2")
    try:
        status, _, answer = server.request("POST", "/v1/completions",
                                           {"model": NAME, "prompt": ["a", "b", "c", "d"], "max_tokens": 2})
        assert status == 200 and len(answer["choices"]) == 4
    finally:
        server.stop()


def test_localhost_is_both_addresses(tmp_path):
    server = Server(tmp_path / "log", address="localhost")
    try:
        families = [socket.AF_INET]
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
                families.append(socket.AF_INET6)
            except OSError:
                pass
        for family in families:
            with socket.socket(family) as connection:
                connection.connect(("127.0.0.1" if family == socket.AF_INET else "::1", server.port))
    finally:
        server.stop()


def test_meta_instruction_and_cap(tmp_path):
    body = {"model": NAME, "messages": [{"role": "user", "content": "One, two, three,"}], "temperature": 0,
            "max_tokens": 8}
    server = Server(tmp_path / "log", "--meta-instruction", "You are a pirate.")
    try:
        told = server.request("POST", "/v1/chat/completions", body)[2]
        said = [{"role": "system", "content": "You are a pirate."}] + body["messages"]
        by_hand = server.request("POST", "/v1/chat/completions", {**body, "messages": said})[2]
        other = [{"role": "system", "content": "You are a nurse of few words."}] + body["messages"]
        own = server.request("POST", "/v1/chat/completions", {**body, "messages": other})[2]
        assert told["choices"] == by_hand["choices"] and told["usage"]["prompt_tokens"] == by_hand["usage"]["prompt_tokens"]
        assert own["usage"]["prompt_tokens"] != told["usage"]["prompt_tokens"]
    finally:
        server.stop()
    server = Server(tmp_path / "log", "--cap", "completion")
    try:
        chat = server.request("POST", "/v1/chat/completions", body)[2]
        plain = server.request("POST", "/v1/completions",
                               {**body, "messages": None, "prompt": "One, two, three,"})[2]
        assert chat["choices"][0]["message"]["content"] == plain["choices"][0]["text"]
    finally:
        server.stop()


def test_a_template_that_refuses(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}x")
    server = Server(tmp_path / "log", "--chat-template", str(template))
    try:
        status, _, answer = server.request("POST", "/v1/chat/completions", {
            "model": NAME, "messages": [{"role": "system", "content": "a"}]})
        assert status == 400 and "no system messages" in answer["error"]["message"]
    finally:
        server.stop()
    with pytest.raises(RuntimeError, match="--meta-instruction cannot be used with this model"):
        Server(tmp_path / "log", "--chat-template", str(template), "--meta-instruction", "a")


def test_a_truncated_model_is_refused(tmp_path):
    cut = tmp_path / "cut.gguf"
    with open(model_path(), "rb") as file:
        cut.write_bytes(file.read(20 << 20))
    result = subprocess.run([os.environ["LMDEPLOY_BIN"], "serve", "api_server", str(cut), "--server-port", "0"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "cut.gguf" in result.stderr and "Traceback" not in result.stderr


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


def test_what_drains_too_long_gets_an_error(tmp_path):
    server = Server(tmp_path / "log", "--drain-seconds", "0.5")
    connections = [long_request(server, stream) for stream in (True, False)]
    eventually(lambda: server.metric("lmdeploy:num_requests_running") == 2)
    server.process.send_signal(signal.SIGTERM)
    texts = []
    for connection in connections:
        connection.settimeout(20)
        text = b""
        while piece := connection.recv(65536):
            text += piece
        texts.append(text.decode())
    assert server.process.wait(20) == 1
    assert texts[0].startswith("HTTP/1.1 200") and "data: [DONE]" in texts[0] and '"error":{"message":"the server' in texts[0]
    assert texts[1].startswith("HTTP/1.1 503") and '"error":{"message":"the server' in texts[1]
    server.stop()


def test_second_sigterm_ends_at_once(tmp_path):
    server = Server(tmp_path / "log")
    connection = long_request(server)
    eventually(lambda: server.metric("lmdeploy:num_requests_running") == 1)
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "shutting down" in server.log_text())
    assert server.process.poll() is None
    begin = time.time()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == -signal.SIGTERM and time.time() - begin < 2
    connection.close()
    server.stop()


def test_open_server_warns(tmp_path):
    server = Server(tmp_path / "log", address="0.0.0.0")
    server.stop()
    assert "--api-keys" in server.log_text()
