"""Writes src/text/unicode_later_ranges.inc: the code points whose class Hugging Face `tokenizers`
knows and the linked utf8proc does not (it follows an older Unicode version).

Usage: tokenizer_unicode_ranges.py CATEGORIES > src/text/unicode_later_ranges.inc
CATEGORIES holds a line "HEX CATEGORY" per code point, as utf8proc_category_string() names them.
"""
import sys

from tokenizers import Regex, pre_tokenizers

CLASSES = [  # (pattern, names of the bits, categories that utf8proc gives those code points)
    (r"\p{Lu}", "kLetter | kUpper", {"Lu"}), (r"\p{Lt}", "kLetter | kUpper", {"Lt"}),
    (r"\p{Ll}", "kLetter | kLower", {"Ll"}), (r"[\p{Lm}\p{Lo}]", "kLetter", {"Lm", "Lo"}),
    (r"\p{N}", "kNumber", {"Nd", "Nl", "No"}), (r"\p{M}", "kMark", {"Mn", "Mc", "Me"}),
    (r"\p{P}", "kPunctuation", {"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"}),
    (r"\p{S}", "kSymbol", {"Sm", "Sc", "Sk", "So"}),
]
ALL = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(char) for piece, _ in split.pre_tokenize_str(ALL) for char in piece}


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def main():
    category = {int(code, 16): name for code, name in (line.split() for line in open(sys.argv[1]))}
    rows = []
    for pattern, bits, names in CLASSES:
        known = {c for c, name in category.items() if name in names}
        found = matching(pattern)
        if known - found:
            sys.exit(f"utf8proc has {pattern} where tokenizers has not: {ranges(known - found)}")
        rows += [(first, last, bits) for first, last in ranges(found - known)]
    digits = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str("a" + "a".join(ALL))
    numeric = {ord(piece) for piece, _ in digits if len(piece) == 1 and piece != "a"}
    print("// Written by tools/tokenizer_unicode_ranges.py.")
    print("constexpr ClassRange kLaterRanges[] = {")
    for first, last, bits in sorted(rows):
        print(f"    {{0x{first:X}, 0x{last:X}, {bits}}},")
    print("};\n")
    print("// Numbers for the Digits pre-tokenizer that \\p{N} does not match: it has its own tables.")
    print("constexpr ClassRange kLaterDigits[] = {")
    for first, last in ranges(numeric - matching(r"\p{N}")):
        print(f"    {{0x{first:X}, 0x{last:X}, kNumber}},")
    print("};")


if __name__ == "__main__":
    main()
