#!/bin/bash
# Installs what the build needs (third_party/apt.txt) and, with --tests, what the tests need besides:
# third_party/apt-test.txt, and the Python packages of third_party/pypi.lock in build/venv.
# Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build

install_debian_packages() {
  local wanted missing=()
  mapfile -t wanted < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$@")
  for package in "${wanted[@]}"; do
    command -v "$package" >/dev/null && continue
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if ! command -v apt-get >/dev/null; then
    echo "setup: this needs Debian 12 or a system with the packages of third_party/apt.txt; missing: ${missing[*]}" >&2
    exit 1
  fi
  local sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run as root, or install: ${missing[*]}" >&2; exit 1; }
    sudo=sudo
  fi
  echo "setup: installing ${missing[*]}"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >build/apt.log 2>&1 ||
    { tail -20 build/apt.log >&2; exit 1; }
}

install_python_packages() {
  local stamp=build/venv/.lock
  cmp -s third_party/pypi.lock "$stamp" && return
  echo "setup: Python packages of third_party/pypi.lock"
  python3 -m venv build/venv
  build/venv/bin/python -m pip install --quiet --no-deps --require-hashes -r third_party/pypi.lock
  cp third_party/pypi.lock "$stamp"
}

if [ "${1:-}" = "--tests" ]; then
  install_debian_packages third_party/apt.txt third_party/apt-test.txt
  install_python_packages
else
  install_debian_packages third_party/apt.txt
fi
