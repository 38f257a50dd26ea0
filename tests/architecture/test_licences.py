"""What is shipped carries no licence that would bind those who ship it."""

from __future__ import annotations

import importlib.metadata
import re

from tests.architecture.tree import ROOT

COPYLEFT = re.compile(r"\bA?L?GPL|General Public License|SSPL|\bEUPL", re.IGNORECASE)
DOCUMENT = (ROOT / "docs" / "licences.md").read_text()


def names(file: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return [re.split(r"[\[=]", line)[0] for line in lines if line and not line.startswith("-")]


def licence(name: str) -> str:
    about = importlib.metadata.metadata(name)
    classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License")]
    return " ".join(filter(None, [about.get("License-Expression"), (about.get("License") or "")[:80], *classifiers]))


def free_to_ship(name: str) -> bool:
    """Whether it comes under a licence that is not the GPL's kind; of several offered (``A OR B``) one is enough, and
    docs/licences.md says which is taken."""
    about = importlib.metadata.metadata(name)
    offered = about.get("License-Expression") or about.get("License") or ""
    choices = offered.split(" OR ")
    if len(choices) > 1 and any(map(COPYLEFT.search, choices)):
        taken = re.search(rf"^\| {re.escape(name)} \|.*taken under ([A-Za-z0-9.-]+)", DOCUMENT, re.MULTILINE)
        return taken is not None and taken[1] in choices and not COPYLEFT.search(taken[1])
    return not COPYLEFT.search(licence(name))


def test_nothing_shipped_is_copyleft_and_everything_shipped_is_listed() -> None:
    shipped = {*names("fargate_proxy/requirements.txt"), *names("lambdas/requirements.txt")}
    assert len(shipped) > 10
    for name in sorted(shipped):
        assert free_to_ship(name), f"{name}: {licence(name)}"
        assert re.search(rf"^\| {re.escape(name)} \|", DOCUMENT, re.MULTILINE), f"docs/licences.md does not list {name}"


def test_what_is_shipped_needs_nothing_that_is_not_pinned_beside_it() -> None:
    shipped = {canonical(name) for name in names("fargate_proxy/requirements.txt")}
    for name in sorted(shipped):
        for line in importlib.metadata.requires(name) or []:
            wanted = re.match(r"[A-Za-z0-9._-]+", line)
            marker = line.partition(";")[2]
            if wanted and not re.search(
                r"extra|python_version|python_full_version|sys_platform|platform_system|PyPy", marker
            ):
                assert canonical(wanted[0]) in shipped, (
                    f"{name} needs {wanted[0]}: pin it in fargate_proxy/requirements.txt"
                )


def test_copyleft_tools_are_only_used_and_the_document_says_so() -> None:
    used = [name for name in names("requirements.txt") if COPYLEFT.search(licence(name))]
    for name in used:
        assert re.search(rf"^\| {re.escape(name)} \|.*never shipped", DOCUMENT, re.MULTILINE), name


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
