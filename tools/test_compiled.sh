#!/usr/bin/env bash
# Runs the tests of the compiled modules against the compiled build (.cache/compiled), and sessions through a gateway that
# runs it. Tests that replace a part of a compiled module cannot run so: tools/interpreted.txt lists them, each with why.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/compile.sh
if [[ ! -d .cache/compiled/blastwall ]]; then
  echo "test-compiled: nothing was compiled, so there is nothing to test" >&2
  exit 1
fi
files=()
while read -r module; do
  for file in "tests/${module%/*}/test_$(basename "$module" .py)"{,_*}.py; do
    if [[ -f $file ]]; then files+=("$file"); fi
  done
done <tools/compiled.txt
skipped=()
while read -r test; do
  if [[ -n $test && $test != \#* ]]; then skipped+=("--deselect=$test"); fi
done <tools/interpreted.txt
# Tracebacks of compiled code have no source that pytest's own style could show.
.venv/bin/python -m pytest --tb=native -p no:cacheprovider -o "pythonpath=.cache/compiled ." "${skipped[@]}" "${files[@]}" "$@"
BLASTWALL_COMPILED=1 .venv/bin/python -m pytest -p no:cacheprovider \
  tests/e2e/test_{psql,psycopg,asyncpg,pgbench,hostile,hostile_answers,holding,recording,masking,same_answers}.py "$@"
