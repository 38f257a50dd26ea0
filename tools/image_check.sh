#!/usr/bin/env bash
# Does what the image's build does and starts its entry point as it would start, without Docker: tools/image.sh into an
# empty directory, then `--check` as an unprivileged user, from a directory that is nobody's, with nothing of this
# repository on the path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

config=$PWD/config
python=$PWD/.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 711 "$work"
if [[ -z ${RDS_CA_SHA256:-} ]]; then # nobody's authority, made here: the step is the same, and needs no network
  export RDS_CA=$work/authority.pem
  "$python" -c 'import sys, time; from pathlib import Path; from rig.certificates import ensure_certificates as made
Path(sys.argv[1]).write_bytes(made(Path(sys.argv[1] + ".d"), time.time()).ca.read_bytes())' "$RDS_CA"
  RDS_CA_SHA256=$(sha256sum "$RDS_CA" | cut -d ' ' -f 1)
  export RDS_CA_SHA256
fi
tools/image.sh "$work/blastwall"
cp -R "$config" "$work/config"
chmod -R go+rX "$work/blastwall" "$work/config"

# The interpreter behind the virtual environment, without what is installed in that.
base=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
as_nobody=()
if [[ $(id -u) == 0 ]]; then
  as_nobody=(setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs)
  if ! "${as_nobody[@]}" "$base" -c '' 2>/dev/null; then # an interpreter in root's home is closed to others: lend a copy
    home=$("$base" -c 'import sys; print(sys.base_prefix)')
    cp -R "$home" "$work/python"
    chmod -R go+rX "$work/python"
    base=$work/python/bin/$(basename "$base")
  fi
fi
cd /
trusted=()
if [[ -f $work/blastwall/rds-ca.pem ]]; then trusted=(BLASTWALL_CA_BUNDLE="$work/blastwall/rds-ca.pem"); fi
env -i "${trusted[@]}" PATH=/usr/bin:/bin PYTHONPATH="$work/blastwall/site" PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 \
  "${as_nobody[@]}" "$base" -m fargate_proxy --check --config "$work/config"
echo "image-check: the entry point starts as an unprivileged user on the locked requirements alone"
