#!/usr/bin/env bash
# Makes what the image holds in the empty directory given: site/ (the locked requirements and our wheel, with its hot
# modules compiled where there is a C compiler), tools/ (what strips the image) and rds-ca.pem (the authorities at RDS_CA,
# if their SHA-256 is RDS_CA_SHA256; "none": no file). PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prefix=$1
python=${PYTHON:-.venv/bin/python}
command -v "$python" >/dev/null || { echo "image: there is no $python; run make setup, or set PYTHON" >&2; exit 1; }
if [[ -e $prefix && -n $(ls -A "$prefix") ]]; then
  echo "image: $prefix is not empty" >&2
  exit 1
fi
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore PIP_QUIET=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What compiles is locked, too; a machine that developed us has it already.
if ! "$python" -c 'import mypy, setuptools, wheel' 2>/dev/null && ! "$python" -c 'import mypy, setuptools' 2>/dev/null; then
  "$python" -m pip install --require-hashes --only-binary=:all: --requirement fargate_proxy/build.lock
fi

mkdir -p "$work/source" "$prefix/site" "$prefix/tools"
"$python" tools/rds_ca.py "${RDS_CA:-}" "${RDS_CA_SHA256:-}" "$prefix/rds-ca.pem"
cp -R setup.py pyproject.toml README.md tools blastwall fargate_proxy cli rig "$work/source"
compile=0
if command -v "${CC:-cc}" >/dev/null 2>&1; then compile=1; else echo "image: no C compiler: the wheel runs interpreted" >&2; fi
(cd "$work/source" && BLASTWALL_COMPILE=$compile "$python" -m pip wheel . --no-deps --no-build-isolation --wheel-dir "$work/wheel") >"$work/log" 2>&1 || {
  tail -n 40 "$work/log" >&2
  echo "image: the wheel cannot be built" >&2
  exit 1
}
"$python" -m pip install --no-compile --only-binary=:all: --no-deps --require-hashes --requirement fargate_proxy/requirements.lock --target "$prefix/site"
"$python" -m pip install --no-compile --no-deps --target "$prefix/site" "$work"/wheel/*.whl
"$python" -m compileall -q "$prefix/site" || true # one of a dependency's templates is no Python; nothing imports it
cp tools/strip_image.py "$prefix/tools"
