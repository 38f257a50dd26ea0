#!/usr/bin/env bash
# Makes .venv with everything pinned in the requirement files. Safe to run from any state: it does nothing when the
# environment already matches, and starts over when it does not work. PYTHON=/path/to/python3 chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/.blastwall-setup
inputs=(requirements.txt fargate_proxy/requirements.txt lambdas/requirements.txt pyproject.toml tools/setup.sh)

wanted() { # what a finished environment was made from, and where: a moved environment has broken scripts
  cat "${inputs[@]}" | cksum
  pwd -P
}

works() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14 python; do
    if command -v "$candidate" >/dev/null 2>&1 && works "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  cat >&2 <<'TEXT'
setup: no usable Python 3.11 or later was found (with its venv and ensurepip modules).
  Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.13),
  or name one: make setup PYTHON=/path/to/python3
TEXT
  return 1
}

if [[ -f $stamp && "$(wanted)" == "$(cat "$stamp")" ]] && "$venv/bin/python" -c 'import click, pytest' 2>/dev/null; then
  exit 0
fi

# Two shells setting up at once would write over each other: mkdir is atomic everywhere, flock is not.
mkdir -p .setup
lock=.setup/lock
for ((waited = 0; ; waited++)); do
  mkdir "$lock" 2>/dev/null && break
  owner=$(cat "$lock/pid" 2>/dev/null || true)
  if [[ -n $owner ]] && ! kill -0 "$owner" 2>/dev/null; then
    rm -rf "$lock"
    continue
  fi
  if ((waited >= 600)); then
    echo "setup: another setup holds $lock for ten minutes; if none is running, remove that directory" >&2
    exit 1
  fi
  sleep 1
done
trap 'rm -rf "$lock"' EXIT
echo $$ >"$lock/pid"

if [[ -f $stamp && "$(wanted)" == "$(cat "$stamp")" ]]; then
  exit 0
fi
rm -f "$stamp"

if ! works "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  echo "setup: creating $venv with $("$python" --version) ($python)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi

echo "setup: installing the pinned requirements"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
if ! "$venv/bin/python" -m pip install --quiet --retries 5 -r requirements.txt; then
  echo "setup: pip could not install requirements.txt; see its message above, then run make setup again" >&2
  exit 1
fi
# The build tools are pinned and already there, so nothing is fetched for the editable installation.
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
"$venv/bin/python" -m pip check

wanted >"$stamp"
echo "setup: ready"
