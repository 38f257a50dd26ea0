"""Handlers of functions are thin: parse the event, one call into the core, respond; the rest is Powertools'."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, modules, parsed

LONGEST = 60  # lines of a whole file
HANDLERS = sorted(module for module in modules("lambdas") if module.name == "handler.py")


def imported(module: Path) -> dict[str, str]:
    """Names that a file imports, and from where."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("module", HANDLERS, ids=lambda module: module.parent.name)
def test_a_handler_is_thin_and_tells_log_trace_and_metrics(module: Path) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= LONGEST
    names = imported(module)
    for tool in ("Logger", "Tracer", "Metrics", "LambdaContext"):
        assert names.get(tool, "").startswith("aws_lambda_powertools"), tool
    (handler,) = [node for node in parsed(module).body if isinstance(node, ast.FunctionDef) and node.name == "handler"]
    decorators = [ast.unparse(decorator).partition("(")[0] for decorator in handler.decorator_list]
    assert decorators == [
        "logger.inject_lambda_context",
        "tracer.capture_lambda_handler",
        "metrics.log_metrics",
    ], "in this order: the log knows the request before anything else happens"
    assert "capture_response=False" in ast.unparse(handler.decorator_list[1]), "answers hold credentials"
    loops = [node for node in ast.walk(handler) if isinstance(node, ast.While | ast.Try) and len(node.body) > 3]
    assert not loops, "logic belongs into the core"


def test_no_handler_speaks_to_aws_itself() -> None:
    for module in HANDLERS:
        assert not {"boto3", "botocore"} & {name.partition(".")[0] for name in imported(module).values()}, module


def test_every_function_has_a_row_and_every_row_a_handler() -> None:
    table = tomllib.loads((ROOT / "stacks" / "functions.toml").read_text())["functions"]
    assert {module.parent.name for module in HANDLERS} == set(table)
