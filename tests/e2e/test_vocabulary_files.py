"""Our tokenizer on sentencepiece and tiktoken files against their own libraries: zero mismatches.

Needs tokenizer_driver, the packages sentencepiece and tiktoken, and what third_party/vocabularies.sh fetches; a
vocabulary that is not here is skipped.
"""
import pathlib
import random
import sys
import unicodedata

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(pathlib.Path(__file__).parent)]
import test_tokenizers as tokenizers_test  # noqa: E402
import tokenizer_oracle  # noqa: E402
import vocabulary_file_oracle as oracle  # noqa: E402

MIXED_BYTES = 5 << 20
POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
DECODERS = (("decode", True), ("decode-all", False), ("stream", False))


class Ours:
    run = tokenizers_test.Pair.run

    def __init__(self, path):
        self.path = path

    def encode(self, texts, special=False):
        return self.run("encode" if special else "encode-plain", texts, "text", "ids")


def assert_same(ours, texts, encode):
    mine = ours.encode(texts)
    assert len(mine) == len(texts)
    wrong = [(text, a, b) for text, a, b in zip(texts, mine, map(encode, texts)) if a != b]
    if not wrong:
        return
    text, a, b = wrong[0]
    at = next((i for i, both in enumerate(zip(a, b)) if both[0] != both[1]), min(len(a), len(b)))
    pytest.fail(f"{len(wrong)} of {len(texts)} texts differ; in {text[:80]!r} at token {at}: ours {a[max(0, at - 3):at + 5]}, "
                f"theirs {b[max(0, at - 3):at + 5]}")


def random_sequences(count, seed):
    draw = random.Random(seed)
    sequences = [draw.choices(range(count), k=draw.choice([1, 2, 5, 50, 1000])) for _ in range(300)]
    return sequences + [[id] for id in range(count)]


@pytest.fixture(scope="module", params=[(name, legacy) for name in oracle.SENTENCEPIECE for legacy in (True, False)],
                ids=lambda param: f"{param[0]}-{'legacy' if param[1] else 'first'}")
def pieces(request):
    pytest.importorskip("sentencepiece")
    pytest.importorskip("google.protobuf")
    folder = oracle.sentencepiece_directory(*request.param)
    if folder is None:
        pytest.skip(f"the vocabulary {request.param[0]} is not here (third_party/vocabularies.sh)")
    return Ours(folder), oracle.SlowTokenizer(folder / "tokenizer.model", request.param[1])


def test_sentencepiece_mixed_text(pieces):
    ours, theirs = pieces
    special = [*theirs.special, *theirs.user_defined]
    size = MIXED_BYTES if "mistral" in str(ours.path) else MIXED_BYTES // 5
    assert_same(ours, tokenizer_oracle.mixed_texts(11, size, special), theirs.encode)
    assert_same(ours, tokenizers_test.branching_texts(12)[:30000], theirs.encode)


def test_sentencepiece_every_code_point(pieces):
    ours, theirs = pieces
    if not theirs.legacy:
        pytest.skip("the prefix alone is another")
    assert_same(ours, POINTS, theirs.encode)
    assert_same(ours, ["a" + point + " b" for point in POINTS], theirs.encode)


def test_sentencepiece_decode(pieces):
    ours, theirs = pieces
    fast = oracle.fast_decoder(ours.path / "tokenizer.model")
    sequences = random_sequences(len(theirs.proto.pieces), 13)
    for command, skip in DECODERS:
        mine = ours.run(command, sequences, "ids", "text")
        wrong = [(s[:8], a, b) for s, a, b in
                 zip(sequences, mine, fast.decode_batch(sequences, skip_special_tokens=skip)) if a != b]
        assert not wrong, f"{command}: {len(wrong)} differ, first {wrong[0]!r}"


@pytest.fixture(scope="module", params=oracle.TIKTOKEN)
def ranks(request):
    pytest.importorskip("tiktoken")
    pair = oracle.tiktoken_pair(request.param)
    if pair is None:
        pytest.skip(f"the ranks of {request.param} are not here (third_party/vocabularies.sh)")
    folder, encoding, nfc = pair

    def encode(text):
        return encoding.encode(unicodedata.normalize("NFC", text) if nfc else text, allowed_special="all")

    return Ours(folder), encoding, encode


def test_tiktoken_mixed_text(ranks):
    ours, encoding, encode = ranks
    assert_same(ours, tokenizer_oracle.mixed_texts(21, MIXED_BYTES, sorted(encoding.special_tokens_set)[:20]), encode)
    assert_same(ours, tokenizers_test.branching_texts(22), encode)


def test_tiktoken_every_code_point(ranks):
    ours, _, encode = ranks
    assert_same(ours, POINTS, encode)
    assert_same(ours, ["a" + point + "b" for point in POINTS], encode)


def test_tiktoken_decode(ranks):
    ours, encoding, _ = ranks
    ids = sorted(set(encoding._mergeable_ranks.values()) | set(encoding._special_tokens.values()))
    draw = random.Random(23)
    sequences = [draw.choices(ids, k=draw.choice([1, 2, 5, 50, 1000])) for _ in range(300)] + [[id] for id in ids]
    for command in ("decode-all", "stream"):
        mine = ours.run(command, sequences, "ids", "text")
        wrong = [(s[:8], a, b) for s, a, b in zip(sequences, mine, map(encoding.decode, sequences)) if a != b]
        assert not wrong, f"{command}: {len(wrong)} differ, first {wrong[0]!r}"
