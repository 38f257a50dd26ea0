"""The proof types are minted in one file each: no permit, no forward; no mask, no relay."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGES, modules, parsed

MINTS = {"Permit": Path("blastwall/policy/decide.py"), "Masked": Path("blastwall/masking/mask.py")}
HARMLESS = {"isinstance", "issubclass"}


def name_of(node: ast.expr) -> str:
    """The last part of a dotted name: ``model.Permit`` and ``Permit`` are one."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def forgeries(tree: ast.Module, proof: str) -> list[int]:
    """Lines that construct the proof, or could: calling it, handing the class on, copying with changes, renaming it."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = name_of(node.func)
            handed_on = any(name_of(argument) == proof for argument in node.args) and called not in HARMLESS
            copied = called == "replace" and bool(node.args) and proof.lower() in ast.unparse(node.args[0]).lower()
            if called == proof or handed_on or copied:
                lines.append(node.lineno)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            lines += [node.lineno for alias in node.names if alias.name == proof and alias.asname not in (None, proof)]
        else:
            sources = (
                [node.value] if isinstance(node, ast.Assign) else node.bases if isinstance(node, ast.ClassDef) else []
            )
            lines += [node.lineno for source in sources if name_of(source) == proof]
    return lines


@pytest.mark.parametrize("proof", sorted(MINTS))
def test_a_proof_is_minted_in_one_file_only(proof: str) -> None:
    found = {
        f"{module}:{line}"
        for module in modules(*PACKAGES)
        if module != MINTS[proof]
        for line in forgeries(parsed(module), proof)
    }
    assert not found, f"{proof} may be made only in {MINTS[proof]}: {sorted(found)}"


@pytest.mark.parametrize("proof", sorted(MINTS))
def test_the_mint_mints(proof: str) -> None:
    assert MINTS[proof] in modules("blastwall")
    assert forgeries(parsed(MINTS[proof]), proof)


@pytest.mark.parametrize(
    "code",
    [
        "Permit('x')",
        "model.Permit(upstream_text='x')",
        "object.__new__(Permit)",
        "replace(permit, upstream_text='y')",
        "dataclasses.replace(self.permit, upstream_text='y')",
        "from blastwall.model import Permit as P",
        "P = Permit",
        "class Mine(Permit): pass",
        "list(map(Permit, texts))",
    ],
)
def test_a_forgery_is_seen(code: str) -> None:
    assert forgeries(ast.parse(code), "Permit") == [1]


@pytest.mark.parametrize(
    "code",
    [
        "from blastwall.model import Permit",
        "def forward(permit: Permit) -> None: ...",
        "isinstance(decision, Permit)",
        "Decision = Permit | Denial",
        "replace(session, ended=True)",
        "match decision:\n    case Permit(): pass",
    ],
)
def test_honest_use_is_not_a_forgery(code: str) -> None:
    assert forgeries(ast.parse(code), "Permit") == []
