"""What is committed is about the product: no machine's paths, no registry's hosts, nothing left to do later."""

from __future__ import annotations

import re

from tests.architecture.tree import ROOT, tracked

SPLIT = "¦"  # stands inside what is looked for, so that this file does not find itself


def joined(text: str) -> str:
    return text.replace(SPLIT, "")


NEEDLES = {
    "a path of somebody's machine": joined(
        r"(?<![\w.~-])/(?:wo¦rk/(?:main|shared|scratch|\.lib)|ro¦ot/|home/\w|Us¦ers/\w)"
    ),
    "a package registry's host": joined(
        r"py¦pi\.(?:org|io)|python¦hosted\.org|registry\.np¦mjs|/opt/py¦pi|deb\.deb¦ian"
    ),
    "unfinished work": joined(r"\b(?:TO¦DO|FIX¦ME|XX¦X)\b"),
    "an excuse": joined(r"NotImpl¦ementedError"),
}
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".sql", ".cedar", ".cedarschema", ".json", ".cfg", ""}
EXCUSED = {"LICENSE"}


def test_committed_text_says_nothing_about_the_machine_it_was_written_on() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT or path.name in EXCUSED:
            continue
        text = (ROOT / path).read_text(errors="replace")
        for meaning, needle in NEEDLES.items():
            for hit in re.finditer(needle, text):
                found.append(f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]!r} ({meaning})")
    assert not found, "\n".join(found)


def test_the_needles_find_what_they_are_for() -> None:
    samples = {
        "a path of somebody's machine": ["open('/ro¦ot/x')", "see /wo¦rk/main/a", "/ho¦me/joe"],
        "a package registry's host": ["https://py¦pi.org/simple", "files.python¦hosted.org"],
        "unfinished work": ["# TO¦DO: later"],
        "an excuse": ["raise NotImpl¦ementedError"],
    }
    for meaning, texts in samples.items():
        for text in texts:
            assert re.search(NEEDLES[meaning], joined(text)), text
    harmless = "s3://bucket/root/x network/work/main pypistats TODOS"
    assert not any(re.search(needle, harmless) for needle in NEEDLES.values())
