"""One portable program: it needs glibc alone, and no glibc newer than 2.35 (DESIGN 4).

Usage: check_portable.py build/PRESET/bin/lmdeploy
"""

import re
import subprocess
import sys

GLIBC = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
NEWEST = (2, 35)


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    program = sys.argv[1]
    needed = set(re.findall(r"\(NEEDED\).*\[(.*?)\]", output("readelf", "-d", program)))
    versions = {tuple(map(int, v.split("."))) for v in
                re.findall(r"GLIBC_(\d+\.\d+)", output("readelf", "-V", program))}
    newest = max(versions)
    print(f"needs {', '.join(sorted(needed))}; newest symbol GLIBC_{newest[0]}.{newest[1]}")
    if needed - GLIBC:
        print(f"not glibc: {', '.join(sorted(needed - GLIBC))}")
    return 1 if needed - GLIBC or newest > NEWEST else 0


if __name__ == "__main__":
    sys.exit(main())
