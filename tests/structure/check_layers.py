"""Includes go down: a folder of src/ includes itself and the lower folders it names (DESIGN 2).

Also: models know no devices, the scheduler no models, HTTP no tokens, the proxy no engine: these
follow from the table.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder -> folders it may include besides itself.
ALLOWED = {
    "base": "",
    "tensor": "base",
    "sched": "base",
    "text": "base",
    "media": "base",
    "http": "base",
    "metrics": "base",
    "checkpoint": "base tensor",
    "comm": "base tensor",
    "kernels": "base tensor comm",
    "quant": "base tensor checkpoint kernels",
    "nn": "base tensor checkpoint comm kernels quant",
    "models": "base tensor checkpoint comm kernels quant nn",
    "engine": "base tensor checkpoint comm kernels nn models sched text metrics",
    "lite": "base tensor checkpoint kernels quant nn models text",
    "serve": "base engine kernels text http metrics",
    "proxy": "base http metrics",
    "cli": "base tensor checkpoint engine kernels text http metrics serve proxy lite models",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def main() -> int:
    problems = []
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".cuh", ".inc"}:
            continue
        folder = path.relative_to(ROOT / "src").parts[0]
        if folder not in ALLOWED:
            problems.append(f"{path.relative_to(ROOT)}: folder src/{folder} is not in the table")
            continue
        may = {folder, *ALLOWED[folder].split()}
        for included in INCLUDE.findall(path.read_text()):
            target = included.split("/")[0]
            if not (ROOT / "src" / included).exists():
                problems.append(f"{path.relative_to(ROOT)}: \"{included}\" is not a path below src/")
            elif target not in may:
                problems.append(f"{path.relative_to(ROOT)}: src/{folder} may not include {included}")
            elif folder == "models" and re.search(r"/(cpu|cuda|none)/", included):
                problems.append(f"{path.relative_to(ROOT)}: models know no devices, not {included}")
    print("\n".join(problems) or "layers: every include goes down")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
