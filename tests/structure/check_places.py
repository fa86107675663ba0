"""CUDA is a place, libraries have one wrapper, nothing is thrown, files and names keep to the rules."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LINES = 550

# (pattern, folders or files where it may stand, why)
PLACES = [
    (r"cuda_runtime\.h|<<<", r"/cuda/", "CUDA only under a folder named cuda/"),
    (r"^\s*throw\b", r"$^", "our code throws nothing"),
    (r"#\s*include\s*<CLI/", r"^src/cli/arguments\.cc$", "CLI11 has one wrapper"),
    (r"#\s*include\s*<boost/(asio|beast)", r"^src/http/", "Beast and Asio stay in http/"),
    (r"#\s*include\s*<spdlog", r"^src/base/log\.cc$", "spdlog has one wrapper"),
    (r"#\s*include\s*<pcre2", r"^src/text/", "PCRE2 stays in text/"),
    (r"#\s*include\s*<(editline|histedit)", r"^src/cli/", "libedit stays in cli/"),
    (r"#\s*if(def|ndef)?\b.*CUDA", r"/cuda/", "no backend #ifdef; CMake picks a folder"),
    (r"\b(TODO|FIXME|XXX)\b", r"$^", "write an issue instead"),
]


def sources():
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".h", ".cc", ".cu", ".cuh"}:
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def check_file(name: str, text: str) -> list[str]:
    problems = []
    for pattern, allowed, why in PLACES:
        if re.search(allowed, name):
            continue
        for match in re.finditer(pattern, text, re.MULTILINE):
            line = text.count("\n", 0, match.start()) + 1
            problems.append(f"{name}:{line}: {match.group(0).strip()}: {why}")
    if name.endswith((".cu", ".cuh")) and "/cuda/" not in name:
        problems.append(f"{name}: CUDA sources live under cuda/")
    if re.search(r"/(utils?|common|helpers?|misc)(/|\.)", name):
        problems.append(f"{name}: a helper lives at the lowest level that needs it, named for what it does")
    if not re.fullmatch(r"[a-z0-9_/.]+", name):
        problems.append(f"{name}: file names are snake_case")
    lines = text.count("\n")
    if lines > MAX_LINES:
        problems.append(f"{name}: {lines} lines; at most {MAX_LINES}")
    if name.endswith(".h") and "#pragma once" not in text:
        problems.append(f"{name}: no #pragma once")
    return problems


def main() -> int:
    problems = [p for name, text in sources() for p in check_file(name, text)]
    print("\n".join(problems) or "places: every rule holds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
