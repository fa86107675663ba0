"""Vocabularies in sentencepiece and tiktoken files, and what their own libraries say of them.

sentencepiece: a name of SENTENCEPIECE, a real file under build/vocabularies (third_party/vocabularies.sh) or one
that is trained here, so that every kind of model and normalizer is there. tiktoken: a name of TIKTOKEN. Each is
laid out as a model's directory under build/vocabularies/made.
"""
import base64
import collections
import functools
import json
import pathlib
import re

import tokenizer_oracle

FOLDER = tokenizer_oracle.FOLDER
MADE = FOLDER / "made"


@functools.cache
def training_text():
    """Lines of the mixed texts without the characters that are too rare to become pieces."""
    path = MADE / "training.txt"
    if not path.exists():
        MADE.mkdir(parents=True, exist_ok=True)
        text = "".join(tokenizer_oracle.mixed_texts(77, 1 << 20, []))
        counts = collections.Counter(text)
        text = "".join(c for c in text if counts[c] >= 20 and c != "\0")
        path.write_text("\n".join(line for line in text.splitlines() if line.strip()))
    return path


UNIGRAM = {"model_type": "unigram", "vocab_size": 3000, "hard_vocab_limit": False}
BPE = {"model_type": "bpe", "vocab_size": 3000}
SYMBOLS = ["<sep>", "the", "naïve", "▁▁▁", "①", "é\u0301", "==", "<|user|>"]
IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
# Name: what the trainer is told; None: a real file.
SENTENCEPIECE = {
    "mistral_v1": None,
    "mistral_v3": None,
    "unigram": {**UNIGRAM},
    "unigram-bytes-symbols": {**UNIGRAM, "byte_fallback": True, "user_defined_symbols": SYMBOLS},
    "unigram-identity-suffix": {**UNIGRAM, **IDENTITY, "treat_whitespace_as_suffix": True, "control_symbols": ["<ctl>"]},
    "unigram-casefold": {**UNIGRAM, "normalization_rule_name": "nmt_nfkc_cf", "add_dummy_prefix": False},
    "bpe": {**BPE},
    "bpe-bytes-symbols": {**BPE, "byte_fallback": True, "user_defined_symbols": SYMBOLS, "split_digits": True},
    "bpe-identity": {**BPE, **IDENTITY, "byte_fallback": True, "allow_whitespace_only_pieces": True,
                     "add_dummy_prefix": False, "user_defined_symbols": ["▁▁", "▁▁▁▁", "\n"], "control_symbols": ["<ctl>"]},
    "bpe-nfkc-across-words": {**BPE, "normalization_rule_name": "nfkc", "remove_extra_whitespaces": False,
                      "split_by_whitespace": False},
    "bpe-unescaped": {**BPE, "byte_fallback": True, "edit": lambda proto: setattr(proto.normalizer_spec, "escape_whitespaces", False)},
}


def train(name, options):
    import sentencepiece

    path = MADE / name / "tokenizer.model"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        sentencepiece.SentencePieceTrainer.train(
            input=str(training_text()), model_prefix=str(path.parent / "m"), num_threads=1, minloglevel=2,
            character_coverage=0.9995, max_sentence_length=1 << 20,
            **{key: value for key, value in options.items() if key != "edit"})
        proto = model_proto(path.parent / "m.model")
        options.get("edit", lambda proto: None)(proto)
        path.write_bytes(proto.SerializeToString())
    return path


def model_proto(path):
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    return proto


class SlowTokenizer:
    """transformers' LlamaTokenizer (version 4) on sentencepiece: special tokens split the text, and with
    legacy False only the first piece gets the dummy prefix."""

    def __init__(self, path, legacy):
        import sentencepiece

        proto = model_proto(path)
        self.proto, self.legacy = proto, legacy
        self.whole = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        proto.normalizer_spec.add_dummy_prefix = False
        self.bare = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        self.special = {piece.piece: id for id, piece in enumerate(proto.pieces) if piece.type in (2, 3)}
        self.user_defined = [piece.piece for piece in proto.pieces if piece.type == 4]
        self.pattern = re.compile("|".join(re.escape(text) for text in sorted(self.special, key=len, reverse=True)))

    def encode_batch(self, texts):
        """Ids of each text. All parts go to the library at once, which takes a tenth of the time."""
        parts = {True: [], False: []}  # by whether they get the dummy prefix
        plans = []  # of each text: ids of special tokens, and which part of which list
        for text in texts:
            plan, pos = [], 0
            for match in [*self.pattern.finditer(text), None]:
                part = text[pos:match.start()] if match else text[pos:]
                if part:
                    prefix = self.legacy or pos == 0
                    plan.append((prefix, len(parts[prefix])))
                    parts[prefix].append(part)
                if match:
                    plan.append((None, self.special[match.group()]))
                    pos = match.end()
            plans.append(plan)
        ids = {True: self.whole.encode(parts[True]), False: self.bare.encode(parts[False])}
        return [[id for prefix, at in plan for id in ([at] if prefix is None else ids[prefix][at])] for plan in plans]


def sentencepiece_directory(name, legacy):
    """A directory with the file and a configuration; None without the real file."""
    options = SENTENCEPIECE[name]
    source = FOLDER / name / "tokenizer.model" if options is None else train(name, options)
    if not source.exists():
        return None
    folder = MADE / (name + ("-legacy" if legacy else "-first"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(source.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "LlamaTokenizer", "legacy": legacy, "add_bos_token": False}))
    return folder


def fast_decoder(path):
    """`tokenizers` on the pieces, as transformers converts them: for decoding alone."""
    from tokenizers import AddedToken

    proto = model_proto(path)
    pieces = [piece.piece for piece in proto.pieces]
    fields = {"tokens": pieces, "scores": [0.0] * len(pieces), "token_types": [3] * len(pieces),
              "add_space_prefix": proto.normalizer_spec.add_dummy_prefix and not proto.trainer_spec.treat_whitespace_as_suffix}
    tokenizer = tokenizer_oracle.by_score(fields)
    tokenizer.add_special_tokens([AddedToken(piece.piece, normalized=False, special=True)
                                  for piece in proto.pieces if piece.type in (2, 3)])
    return tokenizer


QWEN_PATTERN = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
LLAMA3_PATTERN = QWEN_PATTERN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
TIKTOKEN = ["qwen", "llama3_tiktoken", "glm4", "dbrx", "o200k"]


def read_ranks(path):
    lines = path.read_bytes().split(b"\n")
    return {base64.b64decode(piece): int(rank) for piece, rank in (line.split() for line in lines if line)}


def openai(name):
    """The ranks, pattern and special tokens of npm's tiktoken, or None: '! FIRST_RANK BASE64 BASE64 ...' lines."""
    path = FOLDER / "openai" / f"{name}.json"
    if not path.exists():
        return None
    file = json.loads(path.read_text())
    ranks = {}
    for line in file["bpe_ranks"].split("\n"):
        _, first, *pieces = line.split(" ")
        ranks.update({base64.b64decode(piece): int(first) + i for i, piece in enumerate(pieces)})
    return ranks, file["pat_str"], file["special_tokens"]


def write_ranks(path, ranks):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items()))


def added_decoder(special):
    return {str(id): {"content": text, "special": True, "normalized": False, "lstrip": False, "rstrip": False,
                      "single_word": False} for text, id in special.items()}


@functools.cache
def tiktoken_pair(name):
    """(directory or file, tiktoken.Encoding, whether text is brought to NFC first); None without the file."""
    import tiktoken

    folder, nfc = MADE / name, False
    if name in ("dbrx", "o200k"):
        made = openai("cl100k_base" if name == "dbrx" else "o200k_base")
        if made is None:
            return None
        ranks, pattern, special = made
        if name == "dbrx":
            special = {**special, "<|pad|>": 100277, "<|im_start|>": 100278, "<|im_end|>": 100279}
        write_ranks(folder / f"{name}.tiktoken", ranks)
    else:
        source = FOLDER / {"qwen": "qwen/qwen.tiktoken", "llama3_tiktoken": "llama3_tiktoken/tokenizer.model",
                           "glm4": "qwen/qwen.tiktoken"}[name]
        if not source.exists():
            return None
        ranks, pattern, folder = read_ranks(source), LLAMA3_PATTERN, source.parent
        if name == "qwen":
            nfc, pattern = True, QWEN_PATTERN
            special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
        elif name == "llama3_tiktoken":
            special = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                       "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>",
                       "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>"]
            special += [f"<|reserved_special_token_{i}|>" for i in range(2, 246)]
        else:
            # GLM-4's own file is in no package: its format and size, Qwen's first pieces.
            ranks = {piece: rank for piece, rank in ranks.items() if rank < 151329}
            special = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
                       "<|assistant|>", "<|observation|>"]
            folder = MADE / name
            write_ranks(folder / "tokenizer.model", ranks)
        special = {text: len(ranks) + i for i, text in enumerate(special)}
        if name == "glm4":
            (folder / "tokenizer_config.json").write_text(json.dumps(
                {"tokenizer_class": "ChatGLM4Tokenizer", "added_tokens_decoder": added_decoder(special)}))
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    return folder, encoding, nfc
