"""Runs and their exports, made once for all tests of the room, which change copies only."""

from pathlib import Path

import finished
import pytest

from waltzjax.export.pair import export_run
from waltzjax.export.source import read_run


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A run of two whole models."""
    return finished.game_run(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="session")
def exported(run) -> Path:
    export_run(read_run(run), run.parent / "exported", "", merges=False)
    return run.parent / "exported"


@pytest.fixture(scope="session")
def adapters(tmp_path_factory) -> Path:
    """A run of two adapters of one base."""
    return finished.game_run(tmp_path_factory.mktemp("lora") / "adapters", rank=4)


@pytest.fixture(scope="session")
def exported_adapters(adapters) -> Path:
    export_run(read_run(adapters), adapters.parent / "exported", "", merges=False)
    return adapters.parent / "exported"


@pytest.fixture(scope="session")
def policy(tmp_path_factory) -> Path:
    """A run on maths."""
    return finished.policy_run(tmp_path_factory.mktemp("maths") / "maths")
