"""The models that the placed xApps of these tests use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ranloop.placement.places import write_models, write_placed


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def xapp(tmp_path: Path, models: Path) -> Path:
    return write_placed(tmp_path / "placed", models)
