"""Virtual tiers compute the better model in this process: by the operator's trust and provider, and without harm if it fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ranloop.errors import ModelError
from ranloop.inference import Model, Provider, Trust, load_model, load_trust
from ranloop.inference.signature import make_key
from ranloop.placement import VirtualTiers
from ranloop.wire.messages import F32
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.command import Command
from tests.ranloop.placement.places import Loop, seen, tiers, write_placed


class Broken:
    """A better model that cannot be computed."""

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32:
        raise ModelError("broken")


def test_a_better_model_that_fails_is_a_failed_answer_and_not_the_end_of_the_xapp(xapp: Path) -> None:
    """Regional says so after 20 ms; central takes 40 ms, and 30 ms are left of the wait of 50 ms."""
    reach = VirtualTiers(tiers())
    loop = Loop(xapp, reach)
    for tag in list(reach._models):
        reach.offer(tag, Broken())
    assert seen(loop.step(0)) == (20.0, "failed", "edge", "rule", [1.0, 1.0])


def test_the_better_model_is_computed_by_the_operators_provider(
    xapp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, Provider]] = []

    def noting(folder: Path, *, trust: Trust | None, provider: Provider) -> Model:
        given.append((folder.name, provider))
        return load_model(folder, trust=trust, provider=provider)

    monkeypatch.setattr("ranloop.placement.virtual.load_model", noting)
    Instance(load_package(xapp), reach=VirtualTiers(tiers()), provider="reference")
    assert given == [("large", "reference")]


def test_under_trust_a_better_model_that_nobody_has_signed_is_refused(
    tmp_path: Path, models: Path, ranloop: Command
) -> None:
    """The model of this place is signed."""
    small = shutil.copytree(models, tmp_path / "models") / "small"
    (trust := tmp_path / "trust").mkdir()
    make_key(tmp_path / "anna.pem").rename(trust / "anna.pem")
    assert ranloop("model", "sign", small, "--key", tmp_path / "anna.pem").code == 0
    package = load_package(write_placed(tmp_path / "placed", tmp_path / "models"))
    with pytest.raises(ModelError, match="large is not signed"):
        Instance(package, reach=VirtualTiers(tiers()), trust=load_trust(trust))
