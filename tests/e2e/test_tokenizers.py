"""Our tokenizer against Hugging Face `tokenizers` on real vocabularies: zero mismatches.

Needs the build target tokenizer_driver (env TOKENIZER_DRIVER names it, else beside LMDEPLOY_BIN),
the vocabularies of third_party/vocabularies.sh and the models of tools/fetch_models.py; a vocabulary
that is not here is skipped.
"""
import array
import functools
import os
import pathlib
import random
import struct
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import tokenizer_oracle as oracle  # noqa: E402

MIXED_BYTES = 5 << 20


def driver():
    if "TOKENIZER_DRIVER" in os.environ:
        return os.environ["TOKENIZER_DRIVER"]
    return pathlib.Path(os.environ.get("LMDEPLOY_BIN", ROOT / "build/bin/lmdeploy")).parent / "tokenizer_driver"


def pack(items, kind):
    if kind == "text":
        records = [text.encode() for text in items]
        return b"".join(struct.pack("<I", len(record)) + record for record in records)
    return b"".join(struct.pack(f"<I{len(ids)}i", len(ids), *ids) for ids in items)


def unpack(data, kind):
    out, pos = [], 0
    numbers = array.array("i", data) if kind == "ids" else None
    while pos < len(data):
        if numbers is not None:
            end = pos // 4 + 1 + numbers[pos // 4]
            out.append(numbers[pos // 4 + 1:end].tolist())
            pos = 4 * end
        else:
            (count,) = struct.unpack_from("<I", data, pos)
            out.append(data[pos + 4:pos + 4 + count].decode())
            pos += 4 + count
    return out


class Pair:
    """Our program and their object for one vocabulary."""

    def __init__(self, path, theirs):
        self.path, self.theirs = path, theirs
        added = self.theirs.get_added_tokens_decoder().values()
        self.added = sorted(token.content for token in added)
        self.ids = sorted(self.theirs.get_vocab(with_added_tokens=True).values())

    def run(self, command, items, sends, returns):
        done = subprocess.run([driver(), self.path, command], input=pack(items, sends),
                              capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return unpack(done.stdout, returns)

    def encode(self, texts, special=True):
        return self.run("encode" if special else "encode-plain", texts, "text", "ids")


@pytest.fixture(scope="module", params=oracle.VOCABULARIES)
def pair(request):
    path = oracle.path_of(request.param)
    if path is None:
        pytest.skip(f"the vocabulary {request.param} is not here (third_party/vocabularies.sh, tools/fetch_models.py)")
    return Pair(path, oracle.hugging_face(request.param))


def show_difference(pair, text, ours, theirs):
    at = next((i for i, both in enumerate(zip(ours, theirs)) if both[0] != both[1]), min(len(ours), len(theirs)))
    near = slice(max(0, at - 3), at + 5)
    return (f"in {text[:60]!r} at token {at}: ours {ours[near]} {[pair.theirs.id_to_token(i) for i in ours[near]]}, "
            f"theirs {theirs[near]} {[pair.theirs.id_to_token(i) for i in theirs[near]]}")


def assert_same_ids(pair, texts, special=True):
    ours = pair.encode(texts, special)
    assert len(ours) == len(texts)
    wrong = []
    for text, mine, hf in zip(texts, ours, pair.theirs.encode_batch_fast(texts, add_special_tokens=special)):
        if mine != hf.ids:
            wrong.append(show_difference(pair, text, mine, hf.ids))
    assert not wrong, f"{len(wrong)} of {len(texts)} texts differ:\n" + "\n".join(wrong[:10])


def test_mixed_text(pair):
    texts = oracle.mixed_texts(1, MIXED_BYTES, pair.added)
    assert_same_ids(pair, texts)
    assert_same_ids(pair, texts[:300], special=False)


def test_decode_of_encoded_text(pair):
    texts = oracle.mixed_texts(2, MIXED_BYTES // 5, pair.added)
    ids = [encoded.ids for encoded in pair.theirs.encode_batch(texts)]
    for command, skip in (("decode", True), ("decode-all", False)):
        ours = pair.run(command, ids, "ids", "text")
        theirs = pair.theirs.decode_batch(ids, skip_special_tokens=skip)
        wrong = [(a, b) for a, b in zip(ours, theirs) if a != b]
        assert not wrong, f"{command}: {len(wrong)} differ, first {wrong[0]!r}"


def test_random_ids_decoded_and_streamed(pair):
    draw = random.Random(3)
    sequences = [draw.choices(pair.ids, k=draw.choice([1, 2, 5, 50, 2000])) for _ in range(400)]
    # Byte pieces in any order are what breaks UTF-8; few ids are bytes in a large vocabulary.
    bytes_only = [id for id in pair.ids if len(pair.theirs.decode([id])) == 1 or
                  (pair.theirs.id_to_token(id) or "").startswith("<0x")]
    sequences += [draw.choices(bytes_only, k=draw.choice([1, 3, 40])) for _ in range(400)]
    sequences += [[id] for id in pair.ids]
    theirs = pair.theirs.decode_batch(sequences, skip_special_tokens=False)
    for command in ("decode-all", "stream"):
        ours = pair.run(command, sequences, "ids", "text")
        wrong = [(s[:8], a, b) for s, a, b in zip(sequences, ours, theirs) if a != b]
        assert not wrong, f"{command}: {len(wrong)} differ, first {wrong[0]!r}"


def test_every_code_point(pair):
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(points), 100000):
        part = points[start:start + 100000]
        assert_same_ids(pair, part, special=False)
        assert_same_ids(pair, ["a" + point + "b" for point in part], special=False)


@functools.cache
def branching_texts(seed, count=100000):
    draw = random.Random(seed)
    alphabet = list(" \n\r\t'") * 3 + list("aAsStT dDlL09é١中.!/-_") + ["\u017f", "\u0301", "\u0301", "\u00a0", "ǅ", "ʰ", "😀", "²"]
    return ["".join(draw.choices(alphabet, k=draw.randrange(1, 14))) for _ in range(count)]


def test_white_space_digits_and_contractions(pair):
    assert_same_ids(pair, branching_texts(4), special=False)


@pytest.mark.parametrize("pre", oracle.PRE_TOKENIZERS)
def test_gguf_pre_tokenizers(pre):
    """What tokenizer.ggml.pre names cuts words as that family's tokenizer.json does."""
    made = oracle.pre_pair(pre)
    if made is None:
        pytest.skip(f"the vocabulary below {pre} is not here (third_party/vocabularies.sh)")
    pair = Pair(*made)
    assert_same_ids(pair, oracle.mixed_texts(5, MIXED_BYTES, pair.added), special=False)
    assert_same_ids(pair, branching_texts(6), special=False)
    points = [f"a{chr(c)}b {chr(c)}\u0301 1{chr(c)}" for c in range(0x20000) if not 0xD800 <= c < 0xE000]
    assert_same_ids(pair, points, special=False)
