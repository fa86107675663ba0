"""The command line: chat at a terminal and piped, debug tools, errors and exit statuses."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from terminal import Terminal

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"
GREEDY = ["--temperature", "0", "--device", "cpu"]


@pytest.fixture
def environment(tmp_path):
    """No locale, no colours, a home of its own."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    return kept | {"HOME": str(tmp_path), "TERM": "xterm"}


@pytest.fixture
def run(program, environment):
    def run_program(*arguments, stdin="", **extra):
        return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True,
                              timeout=60, env=environment | extra)

    return run_program


@pytest.fixture
def chat(program, smollm, environment):
    def start(*flags, **extra):
        command = [program, "chat", smollm, *GREEDY, *flags]
        terminal = Terminal(command, environment | extra)
        terminal.until(r">>> ")
        return terminal

    return start


def failed(result, status, *parts):
    assert result.returncode == status, result.stderr
    for part in parts:
        assert part in result.stderr
    assert result.stdout == ""


# The terminal


def test_a_conversation_remembers_streams_and_starts_over(chat):
    with chat("--max-new-tokens", "32", "--verbose") as terminal:
        terminal.type("My dog is called Rex. Please remember it.\r")
        terminal.until(r"\n")
        begun = time.monotonic()
        terminal.until(r"\w+")
        first_word = time.monotonic() - begun
        terminal.until(r"\n>>> ")
        assert first_word < 0.7 * (time.monotonic() - begun)  # it came before the rest

        remembered = terminal.ask("What is my dog called?")
        counts = re.search(r"\[(\d+) prompt tokens \((\d+) cached", remembered)
        prompt, cached = map(int, counts.groups())
        assert prompt > 70 and cached >= 64

        assert "a new conversation" in terminal.ask("end")
        fresh = terminal.ask("What is my dog called?")
        assert int(re.search(r"\[(\d+) prompt", fresh)[1]) < prompt
        assert fresh.split("\n[")[0] != remembered.split("\n[")[0]
        assert "[cut off at --max-new-tokens]" in fresh
        terminal.type("exit\r")
        assert terminal.exit_status() == 0


def test_ctrl_c_at_the_prompt_drops_the_line_and_ctrl_d_leaves(chat):
    with chat("--max-new-tokens", "4") as terminal:
        terminal.type("half a mess\x03")
        assert terminal.until(r"\n>>> ").endswith("^C\n>>> ")
        terminal.type("a line \\\r")
        terminal.until(r"\n\.\.\. ")
        terminal.type("\x03")
        terminal.until(r"\n>>> ")
        for _ in range(3):  # nothing to drop
            terminal.type("\x03")
            terminal.until(r"\n>>> ")
        assert terminal.ask("") == ""  # no message, no answer
        assert terminal.ask("hi").startswith("Hello")
        terminal.type("\x04")
        assert terminal.exit_status() == 0


def test_ctrl_c_stops_an_answer_and_not_the_program(chat):
    with chat("--max-new-tokens", "1000", "--cap", "completion") as terminal:
        terminal.type("One, two, three,\r")
        terminal.until(r"\n.*\w+")
        terminal.type("\x03")
        assert "[stopped]" in terminal.until(r"\n>>> ", timeout=5)
        terminal.type("end\r")
        terminal.until(r"\n>>> ")
        os.kill(terminal.process, signal.SIGINT)  # from another terminal, at the prompt
        time.sleep(0.2)
        terminal.type("exit\r")
        assert terminal.exit_status() == 0


def test_continued_and_foreign_lines_reach_the_model(chat, run, smollm):
    with chat("--cap", "completion", "--max-new-tokens", "6", "--verbose") as terminal:
        terminal.type("one\\\r")
        terminal.until(r"\n\.\.\. ")
        tokens = [int(re.search(r"\[(\d+) prompt", terminal.ask(text))[1])
                  for text in ("two", "你好, wörld")]
    for text, count in zip(("one\ntwo", "你好, wörld"), tokens):
        shown = run("debug", "tokens", smollm, "--text", text, "--json")
        assert len(json.loads(shown.stdout)["ids"]) == count


def test_double_enter(chat):
    with chat("--double-enter", "--max-new-tokens", "4", "--verbose") as terminal:
        terminal.type("first line\r")
        terminal.until(r"\n\.\.\. ")
        terminal.type("second line\r")
        terminal.until(r"\n\.\.\. ")
        assert "4 generated" in terminal.ask("")
        assert "a new conversation" in terminal.ask("end")
        terminal.type("exit\r")
        assert terminal.exit_status() == 0


def test_a_prompt_that_does_not_fit_is_no_end(chat):
    with chat("--session-len", "128", "--max-new-tokens", "4") as terminal:
        problem = terminal.ask("word " * 150)
        assert re.search(r"the prompt has \d\d\d tokens.* 128 ", problem)
        assert "'end' starts over" in problem
        assert terminal.ask("hi").startswith("Hello")


def test_ctrl_z_goes_back_to_the_shell_and_fg_goes_on(program, smollm, environment):
    with Terminal(["/bin/bash", "--norc", "-i"], environment | {"PS1": "SHELL> "}) as terminal:
        terminal.until(r"SHELL> ")
        terminal.type(f"{program} chat {smollm} {' '.join(GREEDY)} --max-new-tokens 4\r")
        terminal.until(r"\n>>> ")
        terminal.type("h\x1a")
        assert "Stopped" in terminal.until(r"\nSHELL> ")
        terminal.type("fg\r")
        time.sleep(0.3)  # the shell hands the terminal over
        assert "Hello" in terminal.ask("i")
        terminal.type("exit\r")
        terminal.until(r"SHELL> ")


def test_history_is_kept_and_private(chat, environment):
    for _ in range(2):
        with chat("--max-new-tokens", "2") as terminal:
            terminal.ask("hi there")
            terminal.type("exit\r")
            terminal.exit_status()
    path = pathlib.Path(environment["HOME"]) / ".local/state/lmdeploy/chat_history"
    assert "hi\\040there" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


# One prompt


def test_a_prompt_piped_and_as_an_option(run, smollm):
    flags = ["chat", smollm, *GREEDY, "--max-new-tokens", "8"]
    piped = run(*flags, stdin="Say hi\n")
    assert piped.returncode == 0 and piped.stderr == ""
    assert piped.stdout == run(*flags, "-p", "Say hi").stdout
    assert "\x1b" not in piped.stdout and piped.stdout.count("\n") == 1
    failed(run(*flags, "-p", ""), 2, "the prompt is empty")
    failed(run(*flags, stdin="\n"), 2, "the prompt is empty")
    failed(run(*flags, "--session-len", "64", "-p", "word " * 99), 2, "64", "session_len")


def test_seeds_templates_and_system_prompts_change_the_answer(run, smollm, tmp_path):
    def answer(*flags):
        result = run("chat", smollm, "--device", "cpu", "--max-new-tokens", "8", "-p", "A word?",
                     *flags)
        assert result.returncode == 0, result.stderr
        return result.stdout

    drawn = [answer("--seed", str(seed), "--temperature", "1.5") for seed in (0, 1, 2, 0)]
    assert drawn[0] == drawn[3] and len(set(drawn)) > 1

    own = answer("--temperature", "0")
    (tmp_path / "t.jinja").write_text("{{ messages[-1]['content'] }}")
    pieces = {"model_name": "mine", "user": "Q: ", "eoh": "\nA: "}
    (tmp_path / "t.json").write_text(json.dumps(pieces))
    assert answer("--temperature", "0", "--chat-template", str(tmp_path / "t.jinja")) == answer(
        "--temperature", "0", "--cap", "completion")
    assert answer("--temperature", "0", "--chat-template", str(tmp_path / "t.json")) != own
    assert answer("--temperature", "0", "--chat-template", "llama3") != own
    assert answer("--temperature", "0", "--model-name", "llama3") == answer(
        "--temperature", "0", "--chat-template", "llama3")
    assert answer("--temperature", "0", "--model-name", "my-model") == own
    assert answer("--temperature", "0", "--meta-instruction", "Answer in French.") != own


def answering(program, smollm, environment):
    command = [program, "chat", smollm, *GREEDY, "--cap", "completion", "-p", "One, two,"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def test_interrupting_one_prompt_gives_130(program, smollm, environment):
    process = answering(program, smollm, environment)
    process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(10) == 130


def test_a_reader_that_goes_away_ends_the_program(program, smollm, environment):
    process = answering(program, smollm, environment)
    process.stdout.read(1)
    process.stdout.close()
    assert process.wait(10) != 0


# Spellings of every generation


@pytest.mark.parametrize("words", [
    ["chat", "turbomind", "MODEL", "--model-name", "a-20b", "--cache-block-seq-len", "64"],
    ["chat", "torch", "MODEL", "--trust-remote-code"],
    ["chat", "MODEL", "--backend", "pytorch", "--cache-max-entry-count", "0.5", "--tp=1"],
    ["chat", "MODEL", "--instance_num", "4", "--session_len", "256"],
    ["chat", "MODEL", "--enable_prefix_caching", "True", "--trust_remote_code=False"],
    ["chat", "MODEL", "--model-format", "gguf", "--quant-policy", "0", "--rope-scaling-factor", "0"],
    ["chat", "MODEL", "--eager-mode", "--communicator", "native", "--async", "0"],
])
def test_older_and_newer_flags_run(run, smollm, words):
    words = [smollm if word == "MODEL" else word for word in words]
    result = run(*words, *GREEDY, "--max-new-tokens", "2", "-p", "hi")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Hello")


@pytest.mark.parametrize("words", [
    ["convert", "internlm-chat-7b", "/path", "--dst-path", "w"],
    ["lite", "auto_awq", "m", "--w_bits", "4", "--w_group_size", "128", "--work_dir", "d"],
    ["lite", "kv_qparams", "d", "workspace/triton_models/weights/", "--num_tp", "1"],
    ["serve", "gradio", "http://localhost:23333", "--restful_api", "True"],
    ["serve", "api_client", "http://localhost:23333"],
    ["serve", "triton_client", "localhost:33337", "--stream-output"],
    ["serve", "proxy", "--server-name", "0.0.0.0", "--strategy", "random"],
    ["chat", "m", "--adapters", "a=b"],
    ["chat", "m", "--hf-overrides.rope_scaling.rope_type", "yarn"],
    ["serve", "api_server", "m", "--qos-config-path", "q.json"],
    ["serve", "api_server", "m", "--nnodes", "2", "--node_rank", "1"],
])
def test_what_this_version_lacks_is_said(run, words):
    failed(run(*words), 2, "not in this version")


@pytest.mark.parametrize("words, parts", [
    (["caht", "m"], ["lmdeploy: unknown command 'caht'", "'chat'"]),
    (["serve", "api_serve"], ["lmdeploy serve: unknown", "'api_server'", "lmdeploy serve --help"]),
    (["chat", "m", "--sesion_len", "4"], ["lmdeploy chat: unknown option", "'--session-len'"]),
    (["serve", "api_server", "m", "--server-prot", "1"], ["serve api_server:", "'--server-port'"]),
    (["chat"], ["model is required"]),
    (["chat", "m", "--tp", "two"], ["--tp = two", "number"]),
    (["chat", "m", "--tp"], ["--tp needs a value"]),
    (["chat", "m", "--cap", "sing"], ["--cap", "'sing'", "completion"]),
    (["chat", "m", "--log-level", "LOUD"], ["--log-level", "'LOUD'", "WARNING"]),
    (["debug", "tokens", "m"], ["--text", "--file"]),
    (["debug", "tokens", "m", "--text", "a", "--file", "b"], ["one of --text and --file"]),
    (["debug", "prompt", "m"], ["--messages"]),
    (["debug", "logits", "m"], ["--input-ids"]),
    (["debug", "tokens", "m", "--file", "/tmp"], ["/tmp is a directory"]),
    (["debug", "logits", "m", "--input-ids", "1,a"], ["'1,a'"]),
    (["debug", "logits", "m", "--input-ids", "1,,2"], ["at byte 2"]),
    (["chat", "m", "--logprobs-mode", "raw_logits"], ["--logprobs-mode"]),
    (["debug", "logits", "m", "--input-ids", "1", "--greedy", "-1"], ["--greedy is -1"]),
])
def test_usage_errors_name_what_is_wrong(run, words, parts):
    failed(run(*words), 2, *parts)


def test_help_and_version(run):
    for words in ([], ["--help"], ["serve"], ["debug"], ["serve", "--help"], ["chat", "-h"]):
        result = run(*words)
        assert result.returncode == 0 and "Usage: lmdeploy" in result.stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run("--version").stdout)
    names = run("list", "--engine", "turbomind").stdout.splitlines()[1:]
    assert {"base", "llama3", "internlm2"} <= set(names) and names == sorted(names)
    assert json.loads(run("list", "--json").stdout) == names


def options_of(run, *words):
    """{"--tp": "tensor parallel ranks (default: 1)"} of a command's help."""
    text = run(*words, "--help").stdout
    entry = r"^  (?:-\w,)?(--[\w,-]+)[^\n]*?(?:\n {30}|  +)((?:[^\n]|\n {30})*)"
    return {name: re.sub(r"\s+", " ", sentence)
            for names, sentence in re.findall(entry, text, re.M) for name in names.split(",")}


def test_every_option_has_help_and_is_in_the_guide(run):
    guide = (GUIDE / "compat.md").read_text()
    for words in (["chat"], ["serve", "api_server"], ["list"]):
        options = options_of(run, *words)
        for name, text in options.items():
            assert len(re.sub(r"[\[({].*", "", text)) > 8, f"{words} {name}: {text!r}"
            if "[no effect" in text or "[not in this version" in text:
                assert f"`{name}`" in guide, f"docs/guide/compat.md does not name {name}"
    assert len(options_of(run, "serve", "api_server")) > 60


def test_the_guides_options_exist(run):
    known = set()
    for words in (["chat"], ["serve", "api_server"], ["list"], ["check_env"], ["debug", "tokens"],
                  ["debug", "prompt"], ["debug", "logits"]):
        known |= options_of(run, *words).keys() | {"--help"}
    for page in ("chat.md", "compat.md", "debug.md"):
        for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", (GUIDE / page).read_text()):
            assert name.replace("_", "-") in known, f"{page}: {name}"


@pytest.mark.parametrize("page", ["chat.md", "debug.md"])
def test_the_guides_commands_run(page, program, smollm, environment, tmp_path):
    shutil.copy(GUIDE / page, tmp_path)
    os.symlink(smollm, tmp_path / "model.gguf")
    os.symlink(program, tmp_path / "lmdeploy")
    blocks = re.findall(r"```sh\n(.*?)```", (GUIDE / page).read_text(), re.S)
    assert blocks
    for block in blocks:
        result = subprocess.run(["bash", "-euc", block], cwd=tmp_path, capture_output=True,
                                text=True, timeout=60, stdin=subprocess.DEVNULL,
                                env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"})
        assert result.returncode == 0, f"{block}\n{result.stderr}"


# Tools


def test_debug_tokens(run, smollm, smollm_directory, tmp_path):
    text = "Hello <|im_start|> wörld\n"
    (tmp_path / "text").write_text(text)
    shown = json.loads(run("debug", "tokens", smollm, "--text", text, "--json").stdout)
    assert list(shown) == ["ids", "tokens", "text"]
    assert shown["text"] == text and len(shown["ids"]) == len(shown["tokens"]) and 1 in shown["ids"]
    for source in (smollm, smollm_directory, os.path.join(smollm_directory, "tokenizer.json")):
        for given in (["--file", str(tmp_path / "text")], ["--file", "-"]):
            result = run("debug", "tokens", source, *given, "--json", "--no-special", stdin=text)
            assert json.loads(result.stdout)["ids"] == shown["ids"], source
    failed(run("debug", "tokens", smollm, "--file", str(tmp_path / "none")), 1, "none")


def test_debug_prompt(run, smollm, tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
    shown = json.loads(run("debug", "prompt", smollm, "--messages", str(path), "--json").stdout)
    assert list(shown) == ["prompt", "ids"]
    assert shown["prompt"].endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    tokens = run("debug", "tokens", smollm, "--text", shown["prompt"], "--json", "--no-special")
    assert json.loads(tokens.stdout)["ids"] == shown["ids"]

    template = tmp_path / "t.jinja"
    template.write_text(
        "{{ bos_token }}|{{ tools[0].name }}|{{ mood }}|{{ add_generation_prompt }}")
    path.write_text(json.dumps({"messages": [], "tools": [{"name": "clock"}], "bos_token": "<B>",
                                "mood": "glad", "add_generation_prompt": False}))
    shown = json.loads(run("debug", "prompt", smollm, "--messages", str(path), "--json",
                           "--chat-template", str(template)).stdout)
    assert shown["prompt"] == "<B>|clock|glad|False"

    template.write_text("{{ raise_exception('roles must alternate') }}")
    given = ["--messages", str(path), "--chat-template", str(template)]
    failed(run("debug", "prompt", smollm, *given), 2, "roles must alternate")
    path.write_text("{]")
    failed(run("debug", "prompt", smollm, "--messages", str(path)), 2, "m.json")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_debug_logits(run, smollm_directory, dtype):
    ids = [1, 4093, 198, 6004, 2, 198]
    result = run("debug", "logits", smollm_directory, "--input-ids", ",".join(map(str, ids)),
                 "--greedy", "5", "--device", "cpu", "--dtype", dtype, "--json")
    assert result.returncode == 0, result.stderr
    shown = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(shown) == ["next_logprobs", "last_logits", "greedy"]
    assert len(shown["next_logprobs"]) == len(ids) - 1
    assert all(logprob <= 0 for logprob in shown["next_logprobs"])
    logits = shown["last_logits"]
    assert len(logits) == 49152 and logits.index(max(logits)) == shown["greedy"][0]
    assert len(shown["greedy"]) == 5


def test_numbers_that_json_lacks_are_null(run, smollm_directory, tmp_path):
    for name in os.listdir(smollm_directory):
        shutil.copy(os.path.join(smollm_directory, name), tmp_path)
    with open(tmp_path / "model.safetensors", "r+b") as weights:
        size = int.from_bytes(weights.read(8), "little")
        header = json.loads(weights.read(size))
        norm = header["model.norm.weight"]
        assert norm["dtype"] == "BF16"
        weights.seek(8 + size + norm["data_offsets"][0])
        weights.write(b"\xc0\x7f")  # NaN
    result = run("debug", "logits", str(tmp_path), "--input-ids", "1,2", "--device", "cpu",
                 "--json")
    shown = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert shown["last_logits"] == [None] * 49152 and shown["next_logprobs"] == [None]
    assert "49152 of 49152 logits are NaN or infinite" in result.stderr


def test_debug_logits_of_an_unknown_token(run, smollm):
    failed(run("debug", "logits", smollm, "--input-ids", "1,99999999"), 2, "99999999", "49151")


def test_check_env(run, tmp_path):
    lines = dict(line.split(": ", 1) for line in run("check_env").stdout.splitlines())
    assert {"LMDeploy", "CPU", "CPU kernels", "CUDA built in"} <= lines.keys()
    target = tmp_path / "new" / "env.json"
    shown = run("check_env", "--json", "--dump-file", str(target))
    assert json.loads(shown.stdout).keys() == json.loads(target.read_text()).keys() == lines.keys()
    target = tmp_path / "env.yml"
    assert run("check_env", "--dump-file", str(target)).returncode == 0
    keys = {json.loads(line.split('": ', 1)[0] + '"') for line in target.read_text().splitlines()}
    assert keys == lines.keys()
    failed(run("check_env", "--dump-file", str(tmp_path / "env.pkl")), 2, ".pkl", ".json")
    assert not (tmp_path / "env.pkl").exists()


# Models that do not load


def test_models_that_do_not_load(run, smollm, smollm_directory, tmp_path):
    def load(path, *flags, **extra):
        return run("chat", str(path), "-p", "hi", "--max-new-tokens", "1", *flags, **extra)

    failed(load("/no/such/model"), 1, "/no/such/model does not exist")
    failed(load("org/model", HF_HOME=str(tmp_path)), 1, "org/model", str(tmp_path),
           "huggingface-cli download")
    (tmp_path / "empty").mkdir()
    failed(load(tmp_path / "empty"), 1, "is empty")
    with open(smollm, "rb") as whole:
        (tmp_path / "cut.gguf").write_bytes(whole.read(3 << 20))
    failed(load(tmp_path / "cut.gguf"), 1, "cut.gguf", "truncated")

    quantized = tmp_path / "quantized"
    quantized.mkdir()
    for name in os.listdir(smollm_directory):
        os.symlink(os.path.join(smollm_directory, name), quantized / name)
    config = json.loads((quantized / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "aqlm"}
    (quantized / "config.json").unlink()
    (quantized / "config.json").write_text(json.dumps(config))
    failed(load(quantized), 2, "aqlm")

    (tmp_path / "workspace" / "triton_models" / "weights").mkdir(parents=True)
    failed(load(tmp_path / "workspace"), 2, "TurboMind")


def test_a_model_of_the_hugging_face_cache(run, smollm_directory, tmp_path):
    repository = tmp_path / "hub" / "models--org--smol"
    revision = "0123456789abcdef0123456789abcdef01234567"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "snapshots" / revision).mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    for number, name in enumerate(os.listdir(smollm_directory)):
        os.symlink(os.path.join(smollm_directory, name), repository / "blobs" / str(number))
        os.symlink(f"../../blobs/{number}", repository / "snapshots" / revision / name)
    result = run("chat", "org/smol", *GREEDY, "-p", "hi", "--max-new-tokens", "2",
                 HF_HOME=str(tmp_path))
    assert result.returncode == 0 and result.stdout.startswith("Hello"), result.stderr


def test_devices_and_settings_of_the_environment(run, smollm):
    def load(*flags, **extra):
        return run("chat", smollm, "-p", "hi", "--max-new-tokens", "1", *flags, **extra)

    cuda = load("--device", "cuda")
    if cuda.returncode != 0:  # no GPU here, or no CUDA in this build
        failed(cuda, 1, "--device cpu")
    failed(load("--device", "cpu", LMDEPLOY_CPU_ISA="mmx"), 2, "LMDEPLOY_CPU_ISA", "'mmx'", "avx2")
    failed(load("--device", "cpu", LMDEPLOY_CPU_THREADS="many"), 2, "LMDEPLOY_CPU_THREADS",
           "'many'")
    failed(load(TM_LOG_LEVEL="loud"), 2, "TM_LOG_LEVEL", "'loud'")
    quiet = load("--device", "cpu", "--empty-init", "--log-level", "ERROR")
    loud = load("--device", "cpu", "--empty-init", "--log-level", "ERROR", TM_LOG_LEVEL="INFO")
    assert quiet.stderr == "" and "--empty-init" in loud.stderr and "\x1b" not in loud.stderr
