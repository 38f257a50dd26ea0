"""A task's masking key; what every kind of it promises is in tests/contracts."""

from __future__ import annotations

import pytest

from blastwall.aws.masking_key import VARIABLE, TaskMaskingKey
from blastwall.errors import ConfigFault


def test_it_is_taken_out_of_the_environment() -> None:
    environ = {VARIABLE: "k" * 64, "OTHER": "stays"}
    key = TaskMaskingKey(environ)
    assert environ == {"OTHER": "stays"}
    assert key.read().reveal() == "k" * 64


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}, {VARIABLE: "k" * 31}])
def test_a_task_without_a_key_is_told_where_it_comes_from(environ: dict[str, str]) -> None:
    key = TaskMaskingKey(environ)
    with pytest.raises(ConfigFault, match="the secret MaskingKey of the Data stack"):
        key.read()
