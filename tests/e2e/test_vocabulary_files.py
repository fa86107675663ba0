"""Our tokenizer on sentencepiece and tiktoken files against their own libraries: zero mismatches.

Needs tokenizer_driver, the packages sentencepiece and tiktoken, and what third_party/vocabularies.sh fetches; a
vocabulary that is not here is skipped.
"""
import functools
import pathlib
import random
import re
import sys
import unicodedata

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(pathlib.Path(__file__).parent)]
import test_tokenizers as tokenizers_test  # noqa: E402
import tokenizer_oracle  # noqa: E402
import vocabulary_file_oracle as oracle  # noqa: E402

MIXED_BYTES = 1 << 20
# Planes 0 and 1, compatibility ideographs and tags whole; of the rest, which is ideographs and what is private or
# unassigned, every 61st.
WHOLE = [range(0xD800), range(0xE000, 0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE0200)]
POINTS = [chr(c) for part in (*WHOLE, range(0x20000, 0x110000, 61)) for c in part]
mixed_texts = functools.cache(tokenizer_oracle.mixed_texts)
DECODERS = (("decode", True), ("decode-all", False), ("stream", False))


class Ours:
    run = tokenizers_test.Pair.run

    def __init__(self, path):
        self.path = path

    def encode(self, texts, special=False):
        return self.run("encode" if special else "encode-plain", texts, "text", "ids")


def assert_same(ours, texts, encode_batch):
    mine = ours.encode(texts)
    assert len(mine) == len(texts)
    wrong = [(text, a, b) for text, a, b in zip(texts, mine, encode_batch(texts)) if a != b]
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
    special = (*theirs.special, *theirs.user_defined)
    assert_same(ours, mixed_texts(11, MIXED_BYTES, special), theirs.encode_batch)
    assert_same(ours, tokenizers_test.branching_texts(12, 30000), theirs.encode_batch)


def test_sentencepiece_every_code_point(pieces):
    ours, theirs = pieces
    if not theirs.legacy:
        pytest.skip("the prefix alone is another")
    assert_same(ours, POINTS, theirs.encode_batch)
    assert_same(ours, ["a" + point + " b" for point in POINTS], theirs.encode_batch)


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

    special = encoding.special_tokens_set
    spelled = re.compile("|".join(map(re.escape, special))).search

    def encode_batch(texts):
        # Naming hundreds of special tokens in each call takes ten times as long as the text.
        texts = [unicodedata.normalize("NFC", text) for text in texts] if nfc else texts
        return [encoding.encode(text, allowed_special=special) if spelled(text) else encoding.encode_ordinary(text)
                for text in texts]

    return Ours(folder), encoding, encode_batch


def test_tiktoken_mixed_text(ranks):
    ours, encoding, encode_batch = ranks
    special = tuple(sorted(encoding.special_tokens_set)[:20])
    assert_same(ours, mixed_texts(21, 2 * MIXED_BYTES, special), encode_batch)
    assert_same(ours, tokenizers_test.branching_texts(12, 30000), encode_batch)


def test_tiktoken_every_code_point(ranks):
    ours, _, encode_batch = ranks
    assert_same(ours, POINTS, encode_batch)
    assert_same(ours, ["a" + point + "b" for point in POINTS], encode_batch)


def test_tiktoken_decode(ranks):
    ours, encoding, _ = ranks
    ids = sorted(set(encoding._mergeable_ranks.values()) | set(encoding._special_tokens.values()))
    draw = random.Random(23)
    sequences = [draw.choices(ids, k=draw.choice([1, 2, 5, 50, 1000])) for _ in range(300)] + [[id] for id in ids]
    for command in ("decode-all", "stream"):
        mine = ours.run(command, sequences, "ids", "text")
        wrong = [(s[:8], a, b) for s, a, b in zip(sequences, mine, map(encoding.decode, sequences)) if a != b]
        assert not wrong, f"{command}: {len(wrong)} differ, first {wrong[0]!r}"
