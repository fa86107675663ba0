"""Writes third_party/pypi.lock from third_party/pypi.in: every package with its exact version and hash.

Usage: python3 tools/lock_pypi.py        (needs pip >= 23 and the package index)
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    wanted = ROOT / "third_party" / "pypi.in"
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
         "--report", "-", "-r", str(wanted)],
        check=True, capture_output=True, text=True).stdout
    lines = ["# Written by tools/lock_pypi.py from third_party/pypi.in. CPython 3.11, x86-64 Linux."]
    for item in json.loads(report[report.index("{"):])["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    (ROOT / "third_party" / "pypi.lock").write_text("\n".join(lines[:1] + sorted(lines[1:], key=str.lower)) + "\n")


if __name__ == "__main__":
    main()
