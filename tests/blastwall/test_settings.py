"""Settings: what to_env writes, from_env reads; what is wrong is named."""

from __future__ import annotations

import pytest

from blastwall.settings import ProxySettings


def test_the_environment_carries_everything() -> None:
    settings = ProxySettings("c", "o", "s", 7.5, 9)
    assert ProxySettings.from_env(settings.to_env()) == settings
    assert ProxySettings.from_env({}) == ProxySettings()


def test_a_wrong_value_names_its_variable() -> None:
    with pytest.raises(ValueError, match="BLASTWALL_DRAIN_SECONDS"):
        ProxySettings.from_env({"BLASTWALL_DRAIN_SECONDS": "soon"})
