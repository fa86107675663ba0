"""Writes src/text/normal_form_later_ranges.inc: the code points that the linked utf8proc reorders,
composes or decomposes and Hugging Face `tokenizers`, whose normalization tables are those of an older
Unicode version, takes for unassigned ones.

Usage: tokenizer_normal_form_ranges.py > src/text/normal_form_later_ranges.inc
"""
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

from tokenizer_unicode_ranges import ALL, ranges

NFC, NFKD = normalizers.NFC().normalize_str, normalizers.NFKD().normalize_str
BELOW, OVERLAY = "\u0325", "\u0334"  # combining classes 220 and 1


def marks():
    """Of a Unicode version after any that this Python or utf8proc has."""
    split = pre_tokenizers.Split(Regex(r"\p{M}"), "removed", invert=True)
    return {char for piece, _ in split.pre_tokenize_str(ALL) for char in piece}


def reorders(mark):
    return any(NFC("q" + text) != "q" + text for text in (mark + OVERLAY, BELOW + mark, mark + BELOW))


def main():
    known = {char for char in ALL if unicodedata.category(char) != "Cn"}
    later = {mark for mark in marks() if (unicodedata.combining(mark) or mark not in known) and not reorders(mark)}
    later |= {char for char in known if unicodedata.normalize("NFKD", char) != char and NFKD(char) == char}
    # Letters that compose: the parts of a decomposition that is not known.
    for char in set(later):
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<") and NFC(chr(int(parts[0], 16)) + chr(int(parts[1], 16))) != char:
            later.add(chr(int(parts[1], 16)))
    print("// Written by tools/tokenizer_normal_form_ranges.py.")
    print("constexpr CodeRange kLaterRanges[] = {")
    for first, last in ranges(ord(char) for char in later):
        print(f"    {{0x{first:X}, 0x{last:X}}},")
    print("};")


main()
