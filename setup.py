"""Builds the package; with BLASTWALL_COMPILE=1 its hot modules are compiled by mypyc (tools/compiled.txt lists them).

Everything works interpreted too: a machine without a C compiler, or a build without the variable, lacks only speed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from setuptools import setup


def extensions() -> list[Any]:
    if os.environ.get("BLASTWALL_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    modules = [line for line in Path("tools/compiled.txt").read_text("utf-8").split() if not line.startswith("#")]
    made = mypycify(
        ["--config-file", "", "--follow-imports=silent", "--ignore-missing-imports", *modules],
        opt_level="3",
        debug_level="0",
    )
    for extension in made:
        # Nobody else's symbol can stand in for one of ours then: calls among them go straight, or are inlined.
        extension.extra_compile_args.append("-fvisibility=hidden")
    return list(made)


setup(ext_modules=extensions())
