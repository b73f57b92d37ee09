"""What the audit log tells of a placed model: card, inputs and outputs that belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranloop.placement import VirtualTiers
from ranloop.testing import make_report
from ranloop.wire.asked import Asked
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.model_packages import write_model
from tests.ranloop.placement.places import down, tiers


@pytest.fixture
def wide(xapp: Path, tmp_path: Path) -> Path:
    """The xApp, whose better model adds the CQI to the throughput."""
    write_model(tmp_path / "wide")
    path = xapp / "manifest.toml"
    text = path.read_text().replace('measurements = ["DRB.UEThpDl"]', 'measurements = ["DRB.UEThpDl", "CQI"]')
    lines = [
        f'better = "{tmp_path}/wide"' if line.startswith("better") else line for line in text.splitlines()
    ]
    path.write_text("\n".join(lines))
    return xapp


def placed(xapp: Path, *, from_s: float = 9.0) -> Instance:
    """Its tiers are away from then on."""
    gone = down(from_s, 99)
    return Instance(load_package(xapp), reach=VirtualTiers(tiers(regional=gone, central=gone)))


def told(instance: Instance, seq: int = 0) -> Asked:
    """Of one UE with 3 kbit/s and CQI 1."""
    (batch,) = instance.on_report(make_report({"DRB.UEThpDl": [3.0], "CQI": [1.0]}, seq=seq))
    (asked,) = batch.asked
    assert batch.models == (asked.model,)
    return asked


def test_an_answer_from_above_is_told_with_the_inputs_of_the_better_model(wide: Path) -> None:
    asked = told(placed(wide))
    assert asked.model.startswith("wide@")
    assert asked.inputs == ((3.0, 1.0),)
    assert asked.outputs[0] == pytest.approx([4.0], abs=1e-4)
    assert len(asked.features) == 2


def test_an_answer_of_this_place_is_told_with_its_own_inputs(wide: Path) -> None:
    asked = told(placed(wide, from_s=0.0))
    assert asked.model.startswith("small@")
    assert asked.inputs == ((3.0,),)
    assert asked.outputs[0] == pytest.approx([3.0], abs=1e-4)


def test_an_earlier_better_answer_is_told_without_inputs_because_it_is_not_about_these(wide: Path) -> None:
    path = wide / "manifest.toml"
    path.write_text(path.read_text() + '\non_miss = "last"\n')
    instance = placed(wide, from_s=0.15)
    told(instance, 0)
    asked = told(instance, 1)
    assert asked.model.startswith("wide@")
    assert (asked.version, asked.features, asked.inputs) == ("", (), ())
    assert asked.outputs[0] == pytest.approx([4.0], abs=1e-4)


def test_after_an_answer_from_above_a_ready_matrix_is_told_as_the_model_heres(wide: Path) -> None:
    model = placed(wide).models["load"]
    report = make_report({"DRB.UEThpDl": [3.0], "CQI": [1.0]})
    model(report)
    assert model.tag.startswith("wide@")
    model.predict(model.features.matrix(report))
    assert model.tag.startswith("small@")


def test_what_answered_an_earlier_handler_is_not_told_of_the_next_one(wide: Path) -> None:
    instance = placed(wide)
    told(instance)
    model = instance.models["load"]
    model.begin()
    assert model.tag.startswith("small@")
