"""Plug-ins: a metric of one's own schedules as a built-in one does, without another compilation of the kernels."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numba
import numpy as np
import pytest

from ran_sim.core import counters as count
from ran_sim.core.plugins import PluginError, as_plugin, compiled, load_plugin, plugin_identity
from ran_sim.engine import Engine
from ran_sim.engine.kernels import run_slots
from ran_sim.engine.saved import SavedStateError
from ran_sim.mac.metrics import N_TERMS, SIGNATURE, own_rule, plugin_metric, plugin_terms_into
from ran_sim.radio.own_propagation import PropagationModel
from ran_sim.radio.propagation import build_propagation, site_gains
from ran_sim.scenario import ScenarioError, load_scenario

ONE_CELL = load_scenario("one-cell").with_overrides({"warmup_s": 0.1, "traffic.best-effort.rate_mbps": 40.0})
ARGUMENTS = (
    "weight, rate, average_bits, age_slots, budget_slots, delay_bound, priority_level, backlog_bytes,"
    " idle_slots, gbr_deficit_bits, mean_urgency"
)
RULES = f"""
import math

CHUNK = "not a function"


def fair({ARGUMENTS}):
    return weight / max(average_bits, 1.0) * rate


def m_lwdf({ARGUMENTS}):
    fair = weight / max(average_bits, 1.0)
    if delay_bound == 0.0:
        return fair * rate
    return fair * (-math.log(0.01) / budget_slots * (age_slots + 1)) * rate


def exponential({ARGUMENTS}):
    fair = weight / max(average_bits, 1.0)
    if delay_bound == 0.0:
        return fair * rate
    urgency = -math.log(0.01) / budget_slots * (age_slots + 1)
    return fair * math.exp((urgency - mean_urgency) / (1.0 + math.sqrt(mean_urgency))) * rate


def level_first({ARGUMENTS}):
    return 1.0 / priority_level


def nobody({ARGUMENTS}):
    return math.nan


def short(weight, rate):
    return weight * rate


def misspelt({ARGUMENTS}):
    return wieght * rate
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.py"
    file.write_text(RULES)
    return file


def served(engine: Engine) -> object:
    engine.run_until(1500)
    return engine.snapshot().ue.tolist()


@pytest.mark.parametrize(("name", "built_in"), [("fair", "pf"), ("m_lwdf", "m-lwdf"), ("exponential", "exp")])
def test_a_built_in_rule_written_as_a_plug_in_gives_the_same_bits(
    rules: Path, name: str, built_in: str
) -> None:
    own = Engine(ONE_CELL, seed=3, metric=f"{rules}:{name}")
    assert served(own) == served(Engine(ONE_CELL, seed=3, scheduler=built_in))
    assert own.scheduler == f"{rules}:{name}"


def test_a_plug_in_gets_its_arguments_in_the_documented_order() -> None:
    source = f"def digits({ARGUMENTS}):\n    return " + " + ".join(
        f"{name} * 16.0**{place}" for place, name in enumerate(ARGUMENTS.split(", "))
    )
    scope: dict[str, Callable[..., float]] = {}
    exec(source, scope)  # noqa: S102  # eleven digits to the base of 16, the first argument the lowest
    terms = np.zeros(N_TERMS)
    plugin_terms_into(terms, 1.0, 3.0, 4, 5.0, 6.0, 7.0, 8, 9, 10.0, 11.0)
    assert plugin_metric(own_rule(scope["digits"]), terms, 2.0) == int("ba987654321", 16)


def test_a_second_plug_in_runs_on_the_kernels_that_are_compiled(rules: Path) -> None:
    if os.environ.get("NUMBA_DISABLE_JIT"):
        pytest.skip("nothing is compiled")
    first = served(Engine(ONE_CELL, seed=3, metric=f"{rules}:fair"))
    signatures = list(run_slots.signatures)  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    second = served(Engine(ONE_CELL, seed=3, metric=f"{rules}:level_first"))
    assert first != second
    assert list(run_slots.signatures) == signatures  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    assert len(signatures) == 1


def test_a_metric_in_the_scenario_is_the_run_s_and_an_argument_goes_before_it(rules: Path) -> None:
    scenario = ONE_CELL.with_overrides({"scheduler.metric": f"{rules}:fair"})
    assert Engine(scenario, seed=1).scheduler == f"{rules}:fair"
    assert Engine(scenario, seed=1, scheduler="rr").scheduler == "rr"
    assert Engine(scenario, seed=1, metric=f"{rules}:m_lwdf").scheduler == f"{rules}:m_lwdf"
    with pytest.raises(ValueError, match="one of the two"):
        Engine(ONE_CELL, seed=1, scheduler="rr", metric=f"{rules}:fair")
    with pytest.raises(ScenarioError, match=r"scheduler.metric: got 'rules', want .*"):
        ONE_CELL.with_overrides({"scheduler.metric": "rules"})


def test_a_metric_of_nan_gets_no_grant_and_is_warned_of_and_counted(rules: Path) -> None:
    engine = Engine(ONE_CELL, seed=3, metric=f"{rules}:nobody")
    with pytest.warns(RuntimeWarning, match=r"rules.py:nobody: answers NaN, which gets no grant"):
        engine.run_until(600)
    total = engine.snapshot().ue.sum(axis=0)
    assert total[count.PRB_USED] == 0
    assert total[count.OFFERED_BYTES] > 0
    assert engine.nan_metrics > 0


def test_functions_are_taken_plain_jitted_and_compiled(rules: Path) -> None:
    def product(a: float, b: float) -> float:
        return a * b

    signature = "float64(float64, float64)"
    for function in (product, numba.njit(product), compiled(signature)(product)):
        assert as_plugin(function, signature).ctypes(3.0, 4.0) == 12.0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("rules.py", "rules.py: got no plug-in, want path/to/file.py:function"),
        ("{folder}/none.py:fair", "got no file"),
        ("{folder}/rules.py:unfair", "got no 'unfair' in it, want a function of float64"),
        ("{folder}/rules.py:short", "11 argument types given, but function takes 2"),
        ("{folder}/rules.py:misspelt", "name 'wieght' is not defined"),
        ("{folder}/rules.py:CHUNK", "got str, want a function of float64"),
        ("{folder}/broken.py:fair", "the file raises SyntaxError"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(rules: Path, reference: str, message: str) -> None:
    (rules.parent / "broken.py").write_text("def fair(:")
    with pytest.raises(PluginError, match=r"^[^\n]*$") as error:
        load_plugin(reference.format(folder=rules.parent), SIGNATURE)
    assert message in str(error.value)


def test_a_function_compiled_to_another_signature_is_refused() -> None:
    @compiled("float64(float64, float64)")
    def product(a: float, b: float) -> float:
        return a * b

    with pytest.raises(PluginError, match=r"got a function of \(float64, float64\) -> float64, want one of"):
        as_plugin(product, SIGNATURE)
    assert np.isclose(as_plugin(product, "float64(float64, float64)").ctypes(2.0, 5.0), 10.0)


# -- answers that are none ----------------------------------------------------------------------------------------

TRAFFIC = ONE_CELL.with_overrides(
    {
        "traffic": [{"name": "own", "five_qi": 9, "ues": 3, "model": "plugin", "idle_s": 0}],
        "radio.tick_ms": 10,
    }
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((math.nan, 9.0), "after nan slots of 9.0 bytes"),
        ((-1.0, 9.0), "after -1.0 slots of 9.0 bytes"),
        ((1.0, math.inf), "after 1.0 slots of inf bytes"),
        ((1.0, 0.0), "after 1.0 slots of 0.0 bytes"),
        ((1.0, 1e12), "after 1.0 slots of 1000000000000.0 bytes"),
    ],
)
def test_an_invalid_packet_stops_the_run_in_its_radio_tick(answer: tuple[float, float], said: str) -> None:
    gap, size = answer

    def broken(
        seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
    ) -> tuple[float, float]:
        return (gap, size) if ue_id == 1 and index == 2 else (20.0, 100.0)

    engine = Engine(TRAFFIC, seed=3, traffic=broken)
    with pytest.raises(PluginError, match=r"^broken\(3, 0, 1, 2, 4\d\) gives a packet [^\n]*$") as caught:
        engine.run_until(4000)
    assert said in str(caught.value)
    assert engine.slot <= 60  # its third packet is due in slot 60, asked for in slot 40


@pytest.mark.parametrize("loss_db", [math.nan, math.inf, -math.inf, -300.0, -0.5, 1000.5])
def test_an_invalid_path_loss_stops_the_run_before_its_first_slot(loss_db: float) -> None:
    def broken(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float
    ) -> float:
        return loss_db

    engine = Engine(ONE_CELL, seed=3, path_loss=broken)
    with pytest.raises(
        PluginError,
        match=rf"^broken\(.*, 25, .*, 3.5, 1\) gives a path loss of {loss_db} dB, want 0 to 1000$",
    ):
        engine.run_until(1)
    assert engine.slot == 0


@pytest.mark.parametrize("loss_db", [0.0, 1000.0])
def test_the_least_and_the_greatest_path_loss_are_taken(loss_db: float) -> None:
    def bound(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float
    ) -> float:
        return loss_db

    engine = Engine(ONE_CELL.with_overrides({"radio.shadowing": False}), seed=3, path_loss=bound)
    engine.run_until(1)
    assert engine.slot == 1


def test_shadowing_that_makes_a_path_gain_stops_the_run() -> None:
    def wide(d_2d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float, indoor: float) -> float:
        return 1e3  # every other path gains hundreds of dB

    model = PropagationModel(path_loss=flat, shadow_sd_db=wide)
    told = r"^flat: the path from cell 0 to the UE in row \d+ gains \S+ dB with its antenna and shadowing, want less than 50 dB$"
    with pytest.raises(PluginError, match=told):
        Engine(ONE_CELL, seed=3, path_loss=model).run_until(1)


@pytest.mark.parametrize("blocked_db", [math.nan, math.inf, -20.0])
def test_an_invalid_path_loss_without_sight_is_told_with_sight_0(blocked_db: float) -> None:
    def broken(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float
    ) -> float:
        return 100.0 if sight == 1.0 else blocked_db

    with pytest.raises(PluginError, match=rf"^broken\(.*, 0\) gives a path loss of {blocked_db} dB"):
        Engine(ONE_CELL.with_overrides({"radio.line_of_sight": "never"}), seed=3, path_loss=broken).run_until(
            1
        )


def flat(d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float) -> float:
    return 100.0


@pytest.mark.parametrize("probability", [math.nan, -0.1, 1.1])
def test_an_invalid_probability_of_line_of_sight_stops_the_run(probability: float) -> None:
    def likely(d_2d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float) -> float:
        return probability

    model = PropagationModel(path_loss=flat, los_probability=likely)
    told = rf"^likely\(.*, 25, .*, 3.5\) gives a probability of line of sight of {probability}, want 0 to 1$"
    with pytest.raises(PluginError, match=told):
        Engine(ONE_CELL, seed=3, path_loss=model).run_until(1)


@pytest.mark.parametrize("deviation_db", [math.nan, math.inf, -1.0])
def test_an_invalid_deviation_of_shadowing_stops_the_run(deviation_db: float) -> None:
    def wide(d_2d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float, indoor: float) -> float:
        return deviation_db if sight == 0.0 else 4.0

    model = PropagationModel(path_loss=flat, shadow_sd_db=wide)
    told = rf"^wide\(.*, 3.5, 0, [01]\) gives a deviation of shadowing of {deviation_db} dB, want a finite [^\n]*$"
    with pytest.raises(PluginError, match=told):
        Engine(ONE_CELL, seed=3, path_loss=model).run_until(1)


def test_a_path_loss_that_is_not_finite_towards_a_source_of_interference_stops_the_run() -> None:
    def near_only(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float
    ) -> float:
        return 100.0 if d_2d_m < 5000.0 else math.nan

    source = {"kind": "interference", "position_m": [6000.0, 0.0], "eirp_dbm": 10.0, "start_s": 1.0}
    scenario = load_scenario("one-cell").with_overrides({"faults": [source]})
    engine = Engine(scenario, 1, path_loss=near_only)
    with pytest.raises(
        PluginError, match=r"^near_only\(.*, [01]\) gives a path loss of nan dB, want 0 to 1000$"
    ):
        engine.run_until(1)


def test_the_way_outside_of_a_ue_behind_a_near_wall_is_never_below_zero() -> None:
    # UEs sit up to 25 m behind their wall, and 12 m from the site.
    def flat(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float, line_of_sight: float
    ) -> float:
        return 100.0

    def likely(d_2d_m: float, h_bs_m: float, h_ut_m: float, frequency_ghz: float) -> float:
        return 1.0 if d_2d_m >= 0.0 else math.nan

    model = PropagationModel(path_loss=flat, los_probability=likely)
    own = build_propagation(load_scenario("one-cell"), 1, model)
    for ue_id in range(50):
        assert sum(site_gains(1, ue_id, 0, 12.0, 0.0, True, 1.5, 20.0, own)) > 0.0  # NaN is not


def test_a_model_without_functions_of_its_own_is_its_path_loss() -> None:
    own, alone = (
        Engine(ONE_CELL, seed=3, path_loss=given) for given in (PropagationModel(path_loss=flat), flat)
    )
    for engine in (own, alone):
        engine.run_until(200)
    assert own.plugins == alone.plugins
    assert own.sessions().tobytes() == alone.sessions().tobytes()


@pytest.mark.parametrize("name", ["decorrelation_los_m", "decorrelation_nlos_m", "decorrelation_o2i_m"])
def test_a_distance_of_a_model_belongs_to_its_identity(name: str, tmp_path: Path) -> None:
    distance: dict[str, Any] = {name: 25}
    model = PropagationModel(path_loss=flat, **distance)
    engine = Engine(ONE_CELL, seed=3, path_loss=model)
    assert engine.plugins == {"path_loss": plugin_identity(flat), name: "25.0"}
    assert engine.provenance()[name] == "25.0"
    engine.save(tmp_path / "state")
    assert Engine.load(tmp_path / "state", path_loss=model).plugins == engine.plugins
    told = rf"{name} of the saved run is 25.0, of this one none; give `Engine.load` the same"
    with pytest.raises(SavedStateError, match=told):
        Engine.load(tmp_path / "state", path_loss=flat)


@pytest.mark.parametrize("distance_m", [0.0, -3.0, math.nan, "far"])
def test_a_decorrelation_distance_is_checked(distance_m: object) -> None:
    with pytest.raises(
        PluginError, match=r"^PropagationModel: decorrelation_los_m: got .*, want 5 to 1000 m, or None$"
    ):
        PropagationModel(path_loss=flat, decorrelation_los_m=distance_m)  # type: ignore[arg-type]  # because it is wrong


def test_a_model_is_named_by_file_and_name(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("NUMBER = 3\n")
    scenario = ONE_CELL.with_overrides({"layout.path_loss": f"{file}:NUMBER"})
    with pytest.raises(PluginError, match=r"own.py:NUMBER: got int, want a function of float64"):
        Engine(scenario, seed=3)
    scenario = ONE_CELL.with_overrides({"layout.path_loss": f"{file}:MODEL"})
    with pytest.raises(
        PluginError, match=r"got no 'MODEL' in it, want a PropagationModel or a function of float64"
    ):
        Engine(scenario, seed=3)


# -- who it is ----------------------------------------------------------------------------------------------------


def helper(x: float) -> float:
    return 2.0 * x


def test_two_functions_are_told_apart_by_all_that_is_compiled_in(tmp_path: Path) -> None:
    def of(answer: str, *, offset: float = 1.0, helper: str = "2.0 * x") -> str:
        around = f"OFFSET = {offset}\nimport numba\n@numba.njit\ndef helper(x):\n    return {helper}\n"
        # A file that changes within its second may meet its old bytecode.
        folder = Path(mkdtemp(dir=tmp_path))
        (folder / "own.py").write_text(f"{around}\ndef f(x):\n    return {answer}\n")
        return plugin_identity(load_plugin(f"{folder}/own.py:f", "float64(float64)"))

    base = of("helper(x) + OFFSET")
    assert base == of("helper(x)  +  OFFSET")
    assert base.startswith("f ")
    others = [of("helper(x) - OFFSET"), of("helper(x) + 2.0 * OFFSET"), of("helper(x) + OFFSET", offset=2.0)]
    assert len({base, *others, of("helper(x) + OFFSET", helper="3.0 * x")}) == 5


def test_compiled_or_not_a_function_is_the_same() -> None:
    signature = "float64(float64)"
    forms = [helper, numba.njit(helper), compiled(signature)(helper), as_plugin(helper, signature)]
    assert len(set(map(plugin_identity, forms))) == 1


def test_a_run_says_which_plug_ins_it_is_of(rules: Path) -> None:
    def free_space(
        d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float
    ) -> float:
        return 32.4 + 20.0 * math.log10(d_3d_m * f_ghz)

    plain = Engine(ONE_CELL, seed=1).provenance()
    own = Engine(ONE_CELL, seed=1, metric=f"{rules}:fair", path_loss=free_space, uniform_class_weights=True)
    told = own.provenance()
    assert set(told) - set(plain) == {"metric", "path_loss", "class_weights"}
    assert str(told["metric"]).startswith("fair ")
    assert told["path_loss"] == plugin_identity(free_space)
    assert told["class_weights"] == "uniform"
