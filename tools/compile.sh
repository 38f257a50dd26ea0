#!/usr/bin/env bash
# Builds the package with its hot modules compiled into .cache/compiled, as the image does; run the gateway from there with
#   PYTHONPATH=.cache/compiled PYTHONSAFEPATH=1 .venv/bin/python -m fargate_proxy ...
# Does nothing when the sources have not changed. Without a C compiler it says so and leaves nothing there: the sources
# run interpreted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=.cache/compiled
stamp=$target/.sources
sources() { find setup.py pyproject.toml tools/compiled.txt blastwall fargate_proxy cli rig -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 cksum; }

if [[ -f $stamp && "$(sources)" == "$(cat "$stamp")" ]]; then
  exit 0
fi
rm -rf "$target"
if ! command -v "${CC:-cc}" >/dev/null 2>&1; then
  echo "compile: no C compiler: the gateway runs interpreted" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/source" .cache
cp -R setup.py pyproject.toml README.md tools blastwall fargate_proxy cli rig "$work/source"
python=$PWD/.venv/bin/python
(cd "$work/source" && BLASTWALL_COMPILE=1 "$python" -m pip wheel . --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheel") >"$work/log" 2>&1 || {
  tail -n 40 "$work/log" >&2
  echo "compile: the build failed" >&2
  exit 1
}
"$python" -m pip install --quiet --no-deps --no-warn-conflicts --target "$work/compiled" "$work"/wheel/*.whl
mv "$work/compiled" "$target"
sources >"$stamp"
