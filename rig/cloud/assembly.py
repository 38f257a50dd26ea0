"""The synthesized stacks: what ``python app.py`` makes, once for each content of what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rig.postgres import RigFault

ROOT = Path(__file__).resolve().parents[2]
MADE_FROM = ("stacks", "blastwall", "lambdas")
FILES = ("app.py", "cdk.json")
SECONDS = 300.0
KEPT_SECONDS = 3 * 3600.0


def synthesize(cache: Path, config: Path, overrides: Mapping[str, object], context: Mapping[str, str]) -> Path:
    """The cloud assembly of this tree with that configuration and context. Nothing in it is changed afterwards.

    Raises RigFault with what the app said.
    """
    cache.mkdir(parents=True, exist_ok=True)
    text = json.dumps(overrides, sort_keys=True)
    target = cache / _digest(config, text, context)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            os.utime(target)
            return target / "assembly"
        _sweep(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as made:
            file = Path(made) / "overrides.json"
            file.write_text(text, "utf-8")
            _run(Path(made) / "assembly", {**context, "config": str(config), "overrides": str(file)})
            Path(made).rename(target)
            Path(made).mkdir()  # for the context manager to remove
    return target / "assembly"


def _run(folder: Path, context: Mapping[str, str]) -> None:
    environ = {
        **os.environ,
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    command = [sys.executable, str(ROOT / "app.py")]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RigFault(f"the stacks were not synthesized within {SECONDS:.0f} s") from None
    if done.returncode:
        raise RigFault(f"the stacks cannot be synthesized:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def _digest(config: Path, overrides: str, context: Mapping[str, str]) -> str:
    digest = hashlib.sha256(overrides.encode() + json.dumps(dict(context), sort_keys=True).encode())
    for folder in [*(ROOT / name for name in MADE_FROM), config]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".so") and "__pycache__" not in path.parts:
                _add(digest, f"{folder.name}/{path.relative_to(folder)}", path.read_bytes())
    for name in FILES:
        _add(digest, name, (ROOT / name).read_bytes())
    return digest.hexdigest()[:32]


def _add(digest: hashlib._Hash, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode() + content)


def _sweep(cache: Path) -> None:
    for old in cache.glob("[0-9a-f]*"):
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
