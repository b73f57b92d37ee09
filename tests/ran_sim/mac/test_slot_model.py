"""The learned metric: what is read of a model package, that kernels compute what onnxruntime does, and that cells change to it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from ran_sim.core.state import F64
from ran_sim.engine import Engine
from ran_sim.mac.learned import FEATURES, N_FEATURE, features_into, log_factor
from ran_sim.mac.metrics import MISS_LOG
from ran_sim.mac.slot_model import SlotModelError, read_slot_model
from ran_sim.scenario import ScenarioError, load_scenario
from tests.slot_packages import Node, by_onnxruntime, write_slot_package

SHIPPED = Path(__file__).parents[3] / "models" / "slot_metric"
ONE_CELL = load_scenario("one-cell").with_overrides({"run.warmup_s": 0.0})


def package(
    folder: Path, nodes: Sequence[Node], constants: dict[str, Any], names: Sequence[str] = FEATURES
) -> Path:
    return write_slot_package(folder, nodes, constants, names)


def straight(folder: Path, bias: float, **linear: float) -> Path:
    """g = bias + a linear part."""
    column = [[linear.get(name, 0.0)] for name in FEATURES]
    return package(folder, [("MatMul", "xw", "z"), ("Add", "zb", "y")], {"w": column, "b": [bias]})


def layers(kind: str, n_unit: int, rng: np.random.Generator) -> tuple[list[Node], dict[str, Any]]:
    """A hidden layer beside a linear part, all within bounds, with numbers drawn at random."""
    nodes: list[Node] = [
        ("Max", ("x", "low"), "r"), ("Min", ("r", "high"), "c"), ("Gemm", ("c", "w", "o"), "h"), (kind, ("h",), "u"),
        ("MatMul", ("u", "v"), "a"), ("MatMul", ("c", "l"), "s"), ("Sub", ("a", "s"), "d"), ("Mul", ("half", "d"), "m"),
        ("Sub", ("b", "m"), "t"), ("Clip", ("t", "least", "most"), "y"),
    ]  # fmt: skip
    constants = {
        "low": rng.uniform(-2, -1, N_FEATURE), "high": rng.uniform(1, 2, N_FEATURE),
        "w": rng.normal(size=(N_FEATURE, n_unit)), "o": rng.normal(size=n_unit), "v": rng.normal(size=(n_unit, 1)),
        "l": rng.normal(size=(N_FEATURE, 1)), "b": rng.normal(size=1), "half": [0.5], "least": -2.0, "most": 2.5,
    }  # fmt: skip
    return nodes, constants


def by_kernel(folder: Path, x: F64) -> F64:
    network = read_slot_model(folder)
    return np.array([log_factor(network, row) for row in x.astype(np.float32).astype(np.float64)])


def inputs_around(low: F64, high: F64, rng: np.random.Generator) -> F64:
    """Within the bounds, and as far beyond them again."""
    return np.asarray(rng.uniform(low - (high - low), high + (high - low), (500, N_FEATURE)))


def test_the_shipped_model_computes_in_a_slot_what_onnxruntime_computes() -> None:
    network = read_slot_model(SHIPPED)
    x = inputs_around(network[:N_FEATURE], network[N_FEATURE : 2 * N_FEATURE], np.random.default_rng(1))
    want = by_onnxruntime(SHIPPED, x)[:, 0]
    assert np.ptp(want) > 1.0
    np.testing.assert_allclose(by_kernel(SHIPPED, x), want, atol=1e-5)


@pytest.mark.parametrize(("kind", "n_unit"), [("Sigmoid", 1), ("Sigmoid", 8), ("Tanh", 5)])
def test_any_network_of_one_hidden_layer_computes_what_onnxruntime_computes(
    tmp_path: Path, kind: str, n_unit: int
) -> None:
    rng = np.random.default_rng(n_unit)
    nodes, constants = layers(kind, n_unit, rng)
    folder = package(tmp_path, nodes, constants)
    x = inputs_around(constants["low"], constants["high"], rng)
    want = by_onnxruntime(folder, x)[:, 0]
    assert want.min() == -2.0
    assert want.max() == 2.5
    np.testing.assert_allclose(by_kernel(folder, x), want, atol=1e-5)


def test_inputs_are_what_the_module_says() -> None:
    """A UE at 2 bits per RE; a cell of 1000 REs carries 2000 bits a slot; 500 bytes wait since 9 slots of 40; slots of 0.5 ms."""
    x = np.zeros(N_FEATURE)
    features_into(x, 2.0, 2000.0, 500.0, 0.25, 40.0, 0.5, 8, 500, 3, -0.5)
    want = {
        "log_rate": math.log(2.0), "log_share": math.log(500.0 / 2000.0), "age": 0.25, "log_age": math.log(0.25),
        "log_budget_ms": math.log(20.0), "idle": 8 / 40, "log_need": math.log(4000.0 / 2000.0),
        "log_pressure": math.log(2.0 / 31.0),  # 30 slots left, and the present one
        "log_candidates": math.log(3.0), "urgency": -0.5,
    }  # fmt: skip
    assert dict(zip(FEATURES, x.tolist(), strict=True)) == pytest.approx(want)


def served(engine: Engine, slot: int = 1500) -> object:
    engine.run_until(slot)
    return engine.snapshot().ue.tolist()


def learned(folder: Path) -> dict[str, object]:
    return {"scheduler.name": "learned", "scheduler.models": [str(folder)]}


def test_a_network_of_zeros_is_proportional_fair_and_one_in_the_age_is_m_lwdf(tmp_path: Path) -> None:
    nothing = straight(tmp_path / "zero", 0.0)
    assert served(Engine(ONE_CELL.with_overrides(learned(nothing)), 3)) == served(
        Engine(ONE_CELL, 3, scheduler="pf")
    )
    # m-lwdf: w r / R (a W) with a W = -ln 0.01 W / budget, and ln of that is ln(-ln 0.01) + log_age
    aged = straight(tmp_path / "aged", math.log(MISS_LOG), log_age=1.0)
    assert served(Engine(ONE_CELL.with_overrides(learned(aged)), 3)) == served(
        Engine(ONE_CELL, 3, scheduler="m-lwdf")
    )


def idle_and_budget(
    weight: float, rate: float, average_bits: float, age_slots: float, budget_slots: float, delay_bound: float,
    priority_level: float, backlog_bytes: float, idle_slots: float, gbr_deficit_bits: float, mean_urgency: float,
) -> float:  # fmt: skip
    """Proportional fair times exp(idle / budget) and the budget in ms, for slots of 0.5 ms."""
    fair = weight * rate / max(average_bits, 1.0)
    return fair * math.exp(idle_slots / budget_slots) * budget_slots * 0.5 if delay_bound > 0.0 else fair


def test_slots_put_the_inputs_in_their_places(tmp_path: Path) -> None:
    busy = ONE_CELL.with_overrides({"traffic.best-effort.rate_mbps": 50.0, "load": 2.0})
    urgent = straight(tmp_path / "urgent", 0.0, urgency=1.0)  # the rule exp
    assert served(Engine(busy.with_overrides(learned(urgent)), 3)) == served(Engine(busy, 3, scheduler="exp"))
    patient = straight(tmp_path / "patient", 0.0, idle=1.0, log_budget_ms=1.0)
    own = Engine(busy, 3, metric=idle_and_budget)
    assert served(Engine(busy.with_overrides(learned(patient)), 3)) == served(own)


PRBS = 20  # a carrier without sub-bands: a UE's rate is the same on all RBGs


def backlog_and_share(
    weight: float, rate: float, average_bits: float, age_slots: float, budget_slots: float, delay_bound: float,
    priority_level: float, backlog_bytes: float, idle_slots: float, gbr_deficit_bits: float, mean_urgency: float,
) -> float:  # fmt: skip
    """Proportional fair times r, (R / C)^2, 8 backlog / C and (backlog / C / slots left)^0.5, C = 132 REs x PRBs x r."""
    fair = weight * rate / max(average_bits, 1.0)
    if delay_bound == 0.0 or rate == 0.0:
        return fair
    cell_bits = 132 * PRBS * rate
    need = 8.0 * backlog_bytes / cell_bits
    left = max(budget_slots - age_slots, 1.0)  # with the present slot
    return float(fair * rate * (max(average_bits, 1.0) / cell_bits) ** 2 * need * math.sqrt(need / left))


def test_slots_put_rate_share_backlog_and_pressure_in_their_places(tmp_path: Path) -> None:
    narrow = ONE_CELL.with_overrides({"carrier.bandwidth_prb": PRBS})
    assert not narrow.subband_reports
    folder = straight(tmp_path, 0.0, log_rate=1.0, log_share=2.0, log_need=1.0, log_pressure=0.5)
    model = Engine(narrow.with_overrides(learned(folder)), 3)
    assert served(model) == served(Engine(narrow, 3, metric=backlog_and_share))


def test_best_effort_among_itself_stays_proportional_fair(tmp_path: Path) -> None:
    alone = ONE_CELL.with_overrides({"traffic": [{**ONE_CELL.traffic[0].model_dump(), "rate_mbps": 50.0}]})
    assert not alone.traffic[0].delay_bound
    folder = straight(tmp_path, 3.0, log_rate=2.0)
    assert served(Engine(alone.with_overrides(learned(folder)), 3)) == served(
        Engine(alone, 3, scheduler="pf")
    )


def test_each_cell_changes_to_a_model_and_back_by_itself(tmp_path: Path) -> None:
    busy = {"layout.sectors": 3, "traffic.best-effort.rate_mbps": 50.0, "load": 2.0}
    three = ONE_CELL.with_overrides(busy)
    folder = straight(tmp_path, 4.0)
    loaded = three.with_overrides({"scheduler.models": [str(folder)]})
    plain, changed = Engine(three, 5), Engine(loaded, 5)
    assert served(plain, 500) == served(changed, 500)  # loaded, and not used
    changed.set_slot_model(1, 0)
    twin = changed.fork()
    assert served(changed, 1000) != served(plain, 1000)
    twin.set_slot_model(1, -1)
    assert served(twin, 1000) == served(plain, 1000)


def test_a_saved_run_goes_on_with_its_models(tmp_path: Path) -> None:
    engine = Engine(ONE_CELL.with_overrides({"scheduler.models": [str(straight(tmp_path / "m", 4.0))]}), 5)
    engine.run_until(300)
    engine.set_slot_model(0, 0)
    engine.save(tmp_path / "state")
    assert served(Engine.load(tmp_path / "state"), 900) == served(engine, 900)


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        ([("Relu", "x", "z"), ("MatMul", "zw", "y")], {"w": np.ones((10, 1))}, "operator Relu has no place here"),
        ([("MatMul", "xw", "y")], {"w": np.ones((10, 2))}, "its output has 2 columns, want 1"),
        ([("MatMul", "xw", "y")], {"w": np.ones((9, 1))}, "operator MatMul has shapes that do not fit"),
        ([("MatMul", "xx", "y")], {}, "operator MatMul has other inputs than it should have here"),
        ([("MatMul", "xw", "h"), ("Tanh", "h", "u"), ("Tanh", "u", "v"), ("MatMul", "vo", "y")],
         {"w": np.ones((10, 2)), "o": np.ones((2, 1))}, "second hidden layer"),
        ([("MatMul", "xw", "h"), ("Tanh", "h", "u"), ("MatMul", "uo", "y")],
         {"w": np.ones((10, 9)), "o": np.ones((9, 1))}, "got 9 hidden units, want at most 8"),
        ([("MatMul", "xw", "y")], {"w": np.full((10, 1), np.nan)}, "a number that is not finite"),
        ([("MatMul", "xw", "h"), ("Clip", "hab", "c"), ("Add", "cb", "y")], {"w": np.ones((10, 1)), "a": 0.0, "b": 1.0},
         "Clip is not the last one"),
        ([("MatMul", "xw", "z"), ("Max", "za", "y")], {"w": np.ones((10, 1)), "a": 0.0}, "operator Max has no place here"),
        # a row of numbers has one pair of bounds before the network and one behind it
        ([("MatMul", "xw", "z"), ("Max", "xa", "c"), ("MatMul", "cw", "d"), ("Add", "zd", "y")],
         {"w": np.ones((10, 1)), "a": 0.0}, "its input is used within bounds and without"),
        ([("MatMul", "xw", "z"), ("Clip", "zab", "c"), ("Clip", "cae", "y")],
         {"w": np.ones((10, 1)), "a": 0.0, "b": 1.0, "e": 2.0}, "operator Clip has no place here"),
    ],
)  # fmt: skip
def test_a_graph_of_another_form_is_refused(
    tmp_path: Path, nodes: Sequence[Node], constants: dict[str, Any], said: str
) -> None:
    with pytest.raises(SlotModelError, match=said) as caught:
        read_slot_model(package(tmp_path, nodes, constants))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "card.toml").unlink(), "got no readable card.toml"),
        (lambda folder: (folder / "card.toml").write_text("a = ["), "card.toml is no TOML"),
        (lambda folder: (folder / "model.onnx").unlink(), "got no readable model.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"another"), "is not the one of its card"),
        (lambda folder: (folder / "model.onnx").write_bytes(bytes(1 << 17)), "has more than 65536 bytes"),
        (
            lambda folder: straight_with(folder, FEATURES[::-1]),
            "got the inputs urgency, .* want log_rate, .* in this order",
        ),
    ],
)
def test_a_package_of_something_else_is_refused(tmp_path: Path, spoil: Spoil, said: str) -> None:
    straight(tmp_path, 0.0)
    spoil(tmp_path)
    with pytest.raises(SlotModelError, match=said):
        read_slot_model(tmp_path)


def straight_with(folder: Path, names: Sequence[str]) -> Path:
    return package(folder, [("MatMul", "xw", "y")], {"w": np.ones((10, 1))}, names=names)


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    straight(tmp_path, 0.0)
    content = b"\xff\xff"
    (tmp_path / "model.onnx").write_bytes(content)
    card = {"sha256": hashlib.sha256(content).hexdigest(), "features": [{"name": name} for name in FEATURES]}
    (tmp_path / "card.toml").write_text(tomli_w.dumps(card))
    with pytest.raises(SlotModelError, match="cannot be read"):
        read_slot_model(tmp_path)


def test_learned_without_a_model_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"scheduler\.models = "):
        ONE_CELL.with_overrides({"scheduler": "learned"})


def test_a_model_that_is_not_loaded_is_refused(tmp_path: Path) -> None:
    engine = Engine(ONE_CELL.with_overrides({"scheduler.models": [str(straight(tmp_path, 0.0))]}), 1)
    with pytest.raises(ValueError, match="model 1: want -1 to 0"):
        engine.set_slot_model(0, 1)
