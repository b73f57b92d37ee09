"""A world copied or kept in mid-run continues with the bits of one that was never interrupted."""

from __future__ import annotations

import io
import itertools
import json
import random
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ran_sim.core import counters as count
from ran_sim.core.plugins import plugin_identity
from ran_sim.engine import Engine, saved
from ran_sim.engine.provenance import platform_provenance
from ran_sim.engine.saved import SavedStateError, copy_tree, leaves
from ran_sim.measure.score import score
from ran_sim.radio.own_propagation import OwnPropagation, PropagationModel
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.tools.effect import effect

# Sessions that come and go, so that rows of ended sessions are part of the state.
SEVEN_SITES = load_scenario("seven-sites").with_overrides(
    {"warmup_s": 0.5, "traffic.voice.session_s": (0.2, 0.6), "traffic.voice.idle_s": 0.2}
)
ONE_CELL = load_scenario("one-cell").with_overrides({"warmup_s": 0.2})
SAVED_AT, END = 4000, 5001


def arrays_of(engine: Engine) -> dict[str, NDArray[Any]]:
    return {path: value for path, value in leaves(engine._network) if isinstance(value, np.ndarray)}


def same_state(a: Engine, b: Engine) -> bool:
    for engine in (a, b):
        engine.snapshot()  # brings the counters of cells up to date
    others = arrays_of(b)
    same = all(
        np.array_equal(array, others[path], equal_nan=array.dtype.kind == "f")
        for path, array in arrays_of(a).items()
    )
    return same and a.slot == b.slot and np.array_equal(a.sessions(), b.sessions())


@pytest.fixture(scope="module")
def halfway() -> Engine:
    """Seven sites after two seconds, with settings that an xApp made; never run on."""
    engine = Engine(SEVEN_SITES, seed=1, scheduler="m-lwdf", uniform_class_weights=True)
    engine.run_until(1000)
    engine.set_cio(3, 6.0)
    engine.set_tx_power(5, 40.0)
    engine.set_class_weight(0, 9, 2.0)
    engine.set_ue_weight(7, 3.0)
    engine.run_until(SAVED_AT)
    return engine


@pytest.fixture(scope="module")
def unbroken(halfway: Engine) -> Engine:
    engine = Engine(SEVEN_SITES, seed=1, scheduler="m-lwdf", uniform_class_weights=True)
    engine.run_until(1000)
    engine.set_cio(3, 6.0)
    engine.set_tx_power(5, 40.0)
    engine.set_class_weight(0, 9, 2.0)
    engine.set_ue_weight(7, 3.0)
    engine.run_until(END)
    return engine


# -- in memory ----------------------------------------------------------------------------------------------------


def test_a_fork_and_what_it_was_forked_from_run_on_to_the_bits_of_the_unbroken_run(
    halfway: Engine, unbroken: Engine
) -> None:
    origin = halfway.fork()
    fork = origin.fork()
    for engine in (origin, fork):  # one after the other: what one does must not reach the other
        engine.run_until(END)
        assert same_state(engine, unbroken)
    assert len(unbroken.sessions()) > unbroken.snapshot().connected.sum()  # some sessions ended


def test_a_fork_shares_no_array_that_a_run_writes(halfway: Engine) -> None:
    before = {path: array.copy() for path, array in arrays_of(halfway).items()}
    fork = halfway.fork()
    fork.run_until(END)
    fork.set_tx_power(0, 30.0)
    assert all(
        np.array_equal(array, before[path], equal_nan=True) for path, array in arrays_of(halfway).items()
    )
    assert halfway.slot == SAVED_AT


def test_every_field_of_an_engine_that_a_fork_shares_is_one_that_cannot_change(halfway: Engine) -> None:
    copied = {"_network", "_ended", "_bound"}
    for name in set(vars(halfway)) - copied:
        value = getattr(halfway, name)
        assert callable(value) or isinstance(
            value, (int, float, str, tuple, Scenario, MappingProxyType, type(None))
        ), name


def test_one_array_in_two_places_stays_one_array(halfway: Engine) -> None:
    def groups(engine: Engine) -> set[tuple[str, ...]]:
        by_memory: dict[Any, list[str]] = {}
        for path, array in arrays_of(engine).items():
            by_memory.setdefault(saved._memory(array), []).append(path)
        return {tuple(paths) for paths in by_memory.values() if len(paths) > 1}

    assert groups(halfway.fork()) == groups(halfway)


def test_arrays_of_a_world_are_one_array_or_share_nothing(halfway: Engine) -> None:
    for (a, x), (b, y) in itertools.combinations(arrays_of(halfway).items(), 2):
        assert saved._memory(x) == saved._memory(y) or not np.may_share_memory(x, y), (a, b)


class Inner(NamedTuple):
    a: NDArray[np.float64]
    n: int


class Outer(NamedTuple):
    inner: Inner
    b: NDArray[np.float64]
    f: Callable[[], None]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.booleans())
def test_a_copied_tree_is_equal_and_apart(values: list[float], aliased: bool) -> None:
    a = np.array(values)
    tree = Outer(Inner(a, 3), a if aliased else a.copy(), print)
    twin = copy_tree(tree)
    assert (twin.b is twin.inner.a) is aliased
    assert (twin.inner.n, twin.f) == (3, print)
    twin.inner.a[0] += 1.0 + abs(values[0])
    assert tree.inner.a[0] == values[0]


def test_a_fork_with_one_action_more_meets_the_same_world(halfway: Engine) -> None:
    untreated, treated = halfway.fork(), halfway.fork()
    backlog, cell = untreated.snapshot().backlog_bytes, untreated.ues.cell
    crowded = np.bincount(cell[backlog > 0]).argmax()  # where others would have the PRBs
    u = int(np.argmax(np.where(cell == crowded, backlog, 0)))
    treated.set_ue_weight(u, 50.0)
    for engine in (untreated, treated):
        engine.run_until(END)
    a, b = arrays_of(untreated), arrays_of(treated)
    for path in (
        "ues.x_m",
        "ues.y_m",
        "ues.id",
        "ues.start_slot",
        "ues.end_slot",
        "links.gain_db",
        "radio.fading.phase",  # `links.fading` is evaluated only where a slot looks at it
    ):
        assert np.array_equal(a[path], b[path]), path
    before, after = untreated.snapshot().ue, treated.snapshot().ue
    assert np.array_equal(before[:, count.PACKETS_OFFERED], after[:, count.PACKETS_OFFERED])
    assert after[u, count.PRB_USED] > before[u, count.PRB_USED]


# -- the effect of an action --------------------------------------------------------------------------------------


def test_no_action_has_no_effect_and_leaves_the_engine_where_it_is(halfway: Engine) -> None:
    difference = effect(halfway, lambda fork: None, 0.3)
    assert set(difference) == set(score(halfway))
    assert {value for value in difference.values() if not np.isnan(value)} == {0.0}
    assert halfway.slot == SAVED_AT


def test_the_effect_counts_from_the_action_on() -> None:
    # A cell that sends next to nothing delivers next to nothing: the effect is the whole throughput without it.
    engine = Engine(ONE_CELL, seed=2)
    engine.run_until(2000)
    after = engine.fork()
    after.count_from_now()
    after.run_until(3000)
    difference = effect(engine, lambda fork: fork.set_tx_power(0, -150.0), 0.5)
    assert difference["delivered_mbps"] == pytest.approx(-score(after)["delivered_mbps"], rel=0.05)
    assert score(after)["delivered_mbps"] > 10


def test_counting_from_now_is_a_warm_up_that_ends_now() -> None:
    late = Engine(ONE_CELL.with_overrides({"warmup_s": 1.0}), seed=3)
    early = Engine(ONE_CELL, seed=3)
    early.run_until(2000)
    early.count_from_now()
    for engine in (late, early):
        engine.run_until(4000)
    assert np.array_equal(late.sessions(), early.sessions())
    assert score(late) == pytest.approx(score(early), nan_ok=True)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), float("inf"), 1e30])
def test_an_effect_needs_time(duration_s: float) -> None:
    with pytest.raises(ValueError, match="want seconds above 0"):
        effect(Engine(ONE_CELL, seed=1), lambda fork: None, duration_s)


# -- in a file ----------------------------------------------------------------------------------------------------


def test_a_state_from_a_file_runs_on_to_the_bits_of_the_unbroken_run(
    halfway: Engine, unbroken: Engine, tmp_path: Path
) -> None:
    halfway.save(tmp_path / "state")
    engine = Engine.load(tmp_path / "state")
    assert same_state(engine, halfway)
    assert (engine.scheduler, engine.classes) == (halfway.scheduler, halfway.classes)
    engine.run_until(END)
    assert same_state(engine, unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_state_from_before_the_first_slot_is_one_too(tmp_path: Path) -> None:
    Engine(ONE_CELL, seed=5).save(tmp_path / "state")
    engine, other = Engine.load(tmp_path / "state"), Engine(ONE_CELL, seed=5)
    for each in (engine, other):
        each.run_until(600)
    assert same_state(engine, other)


def test_the_same_state_is_the_same_file(tmp_path: Path) -> None:
    engine = Engine(ONE_CELL, seed=5)
    for name in ("a", "b"):
        engine.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_says_where_it_came_from(tmp_path: Path) -> None:
    engine = Engine(ONE_CELL, seed=5)
    engine.save(tmp_path / "state")
    origin = saved.read(tmp_path / "state").header.provenance
    assert origin == engine.provenance()
    assert {"numpy", "numba", "llvmlite", "cpu", "cpu_features", "scenario_hash"} <= set(origin)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("states") / "state"
    Engine(ONE_CELL, seed=5).save(path)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(SavedStateError) as caught:
        Engine.load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(state: Path, tmp_path: Path, share: float) -> None:
    whole = state.read_bytes()
    (path := tmp_path / "cut").write_bytes(whole[: int(share * len(whole))])
    assert "is no whole saved state" in complaint(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in complaint(tmp_path / "none")


def rewritten(
    state: Path,
    path: Path,
    change: Callable[[dict[str, bytes]], object],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """The file with other members."""
    with zipfile.ZipFile(state) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_header(**fields: Any) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        members["header.json"] = json.dumps({**json.loads(members["header.json"]), **fields}).encode()

    return change


def signed(change: Callable[[dict[str, bytes]], object]) -> Callable[[dict[str, bytes]], object]:
    """The change, and the digest of what it leaves: a whole file of something else."""

    def change_and_sign(members: dict[str, bytes]) -> None:
        change(members)
        header = saved.Header.model_validate_json(members["header.json"])
        arrays = {
            name.removesuffix(".npy"): np.load(io.BytesIO(content))
            for name, content in members.items()
            if name != "header.json"
        }
        with_header(digest=saved._digest(header, arrays))(members)

    return change_and_sign


def npy(array: NDArray[Any], *, pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickle)
    return buffer.getvalue()


def claims_much(members: dict[str, bytes]) -> None:
    members["ues.x_m.npy"] = npy(np.zeros(30)).replace(b"(30,), }      ", b"(999999,), }  ")


def has_a_length_below_nothing(members: dict[str, bytes]) -> None:
    members["ues.x_m.npy"] = npy(np.zeros(30)).replace(b"(30,), }      ", b"(-6, -5), }   ")


def is_no_python(members: dict[str, bytes]) -> None:
    members["ues.x_m.npy"] = npy(np.zeros(30)).replace(b"(30,)", b"(30, ")


TOO_MANY = load_scenario("one-cell").with_overrides({"traffic.gaming.ues": 10_000}).model_dump(mode="json")
TOO_WIDE = (  # two maps of 1024 x 1024 points for each of 100 sites: 0.8 GB
    load_scenario("one-cell")
    .with_overrides({"layout.positions_m": [[2000.0 * n, 0.0] for n in range(100)]})
    .model_dump(mode="json")
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("header.json"), "it has no header.json"),
        (lambda m: m.update({"header.json": b" " * (1 << 20) + b"1"}), "of at most 1 MiB"),
        (lambda m: m.update({"header.json": b"{"}), "header.json: all of it: Invalid JSON"),
        (lambda m: m.update({"header.json": b"[" * 100_000}), "header.json: all of it"),
        (with_header(format="other"), "header.json: format"),
        (with_header(seed=-1), "header.json: seed"),
        (with_header(slot=1.5), "header.json: slot"),
        (with_header(more=1), "header.json: more"),
        (with_header(scenario={"name": "x"}), "header.json: scenario.traffic"),
        (with_header(scenario=TOO_MANY), "is shorter than a state of its scenario"),
        (signed(with_header(scenario=TOO_WIDE)), "is shorter than a state of its scenario"),
        (with_header(provenance={}), "by another version of the simulator"),
        (signed(with_header(scheduler="best")), "no scheduler 'best'"),
        (signed(with_header(seed=6)), "its constants are not those of its scenario and seed"),
        (with_header(slot=100), "is damaged"),
        (signed(lambda m: m.pop("ues.x_m.npy")), "ues.x_m"),
        (signed(lambda m: m.update({"more.npy": npy(np.zeros(1))})), "its scenario: more"),
        (lambda m: m.update({"ues.x_m.npy": npy(np.zeros(30))[:-8]}), "ues.x_m"),
        (signed(lambda m: m.update({"ues.x_m.npy": npy(np.zeros(31))})), "ues.x_m is float64 (31,), want float64 (30,)"),
        (signed(lambda m: m.update({"ues.x_m.npy": npy(np.zeros(30, np.float32))})), "ues.x_m is float32"),
        (lambda m: m.update({"ues.x_m.npy": npy(np.array([{}] * 30), pickle=True)}), "ues.x_m is object"),
        (lambda m: m.update({"ues.x_m.npy": npy(np.ones(30))}), "is damaged"),
        (lambda m: m.update({"ues.x_m.npy": b"no array"}), "ues.x_m is no plain array"),
        (claims_much, "ues.x_m is float64 (999999,)"),
        (is_no_python, "ues.x_m is no plain array"),
        (has_a_length_below_nothing, "ues.x_m is no plain array"),
        (lambda m: m.update({"notes.txt": b"x"}), "more than arrays"),
        (signed(lambda m: m.update({"ended.npy": npy(np.zeros((2, 2)))})), "ended is float64 (2, 2)"),
    ],
)  # fmt: skip
def test_a_file_that_holds_something_else_is_refused(
    state: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object], words: str
) -> None:
    assert words in complaint(rewritten(state, tmp_path / "other", change))


def test_a_compressed_file_is_refused_before_it_grows(state: Path, tmp_path: Path) -> None:
    path = rewritten(state, tmp_path / "other", lambda m: None, zipfile.ZIP_DEFLATED)
    assert "it is compressed" in complaint(path)


def test_a_name_twice_is_refused(state: Path, tmp_path: Path) -> None:
    path = rewritten(state, tmp_path / "other", lambda m: None)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("ended.npy", npy(np.zeros(1)))
    assert "a name twice" in complaint(path)


def test_one_flipped_bit_is_noticed(state: Path, tmp_path: Path) -> None:
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 4
    (path := tmp_path / "bad").write_bytes(content)
    complaint(path)


def test_a_damaged_file_is_refused_before_a_network_is_built(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Building and compiling take up to a minute.
    def build(*arguments: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr("ran_sim.engine.engine.build_network", build)
    path = rewritten(state, tmp_path / "bad", lambda m: m.update({"ues.x_m.npy": npy(np.ones(30))}))
    assert "is damaged" in complaint(path)
    with pytest.raises(AssertionError, match="built"):
        Engine.load(state)


def test_mutated_files_are_refused_at_once_or_are_whole(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 150 files with a few other bytes, cut, or with a piece twice. Unread bytes of the zip, such as a date, change nothing.
    class Built(Exception):
        pass

    def build(*arguments: object) -> None:
        raise Built

    monkeypatch.setattr("ran_sim.engine.engine.build_network", build)
    whole, draw, refusals = state.read_bytes(), random.Random(1), []
    header_end = whole.index(b".npy")  # the header and its name come first; half of the changes are there
    path = tmp_path / "mutated"
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 4, 40))):
            place = draw.randrange(draw.choice((header_end, len(whole))))
            content[place] = draw.choice((draw.randrange(256), *b'0123456789[]{}",-e'))
        match draw.randrange(6):
            case 0:
                del content[draw.randrange(len(content)) :]
            case 1:
                at = draw.randrange(header_end)
                content[at:at] = content[at : at + draw.randrange(5000)]
        path.write_bytes(content)
        started = time.perf_counter()
        try:
            Engine.load(path)
        except SavedStateError as error:
            refusals.append(str(error))
        except Built:
            pass
        assert time.perf_counter() - started < 5
    assert len(refusals) > 120
    assert all(text.isprintable() and len(text) < 1000 for text in refusals)


def test_another_numba_is_said(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = platform_provenance()
    monkeypatch.setattr(
        "ran_sim.engine.saved.platform_provenance", lambda: {**now, "numba": "0.1", "cpu": "m68k"}
    )
    with pytest.warns(RuntimeWarning, match="another numba, cpu: the last bits may differ"):
        Engine.load(state)


# -- plug-ins -----------------------------------------------------------------------------------------------------


def packets(
    seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
) -> tuple[float, float]:
    """1500 bytes every 10 ms."""
    return 20.0, 1500.0


def other_packets(
    seed: int, traffic_class: int, ue_id: int, index: int, previous_slot: float
) -> tuple[float, float]:
    return 20.0, 1501.0


def flat(d_2d_m: float, d_3d_m: float, h_bs_m: float, h_ut_m: float, f_ghz: float, sight: float) -> float:
    return 100.0


def channel(
    weight: float, rate: float, average: float, age: float, budget: float, bound: float,
    level: float, backlog: float, idle: float, deficit: float, urgency: float,
) -> float:  # fmt: skip
    return rate


WITH_PLUGIN = ONE_CELL.with_overrides(
    {"traffic": [{"name": "own", "five_qi": 9, "ues": 3, "model": "plugin", "idle_s": 0}]}
)


def test_a_state_runs_on_with_the_plug_ins_that_it_was_saved_with(tmp_path: Path) -> None:
    engine = Engine(WITH_PLUGIN, seed=1, traffic=packets)
    engine.run_until(300)
    engine.save(tmp_path / "state")
    engine.run_until(600)
    loaded = Engine.load(tmp_path / "state", traffic=packets)
    loaded.run_until(600)
    assert same_state(loaded, engine)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {},
            r"traffic of the saved run is packets [0-9a-f]{16}, of this one none; give `Engine.load` the same",
        ),
        (
            {"traffic": other_packets},
            r"is packets [0-9a-f]{16}, of this one other_packets [0-9a-f]{16}; give",
        ),
        (
            {"traffic": packets, "path_loss": flat},
            "path_loss of the saved run is none, of this one",
        ),
        ({"traffic": packets, "metric": channel}, "metric of the saved run is none, of this one"),
    ],
    ids=["none", "another", "one more", "a metric"],
)
def test_a_state_is_refused_under_other_plug_ins(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    Engine(WITH_PLUGIN, seed=1, traffic=packets).save(tmp_path / "state")
    with pytest.raises(SavedStateError, match=words) as caught:
        Engine.load(tmp_path / "state", **given)
    assert "\n" not in str(caught.value)


def test_a_state_is_refused_where_the_plug_in_s_file_has_changed(tmp_path: Path) -> None:
    rule = "def own(weight, rate, average, age, budget, bound, level, backlog, idle, gbr, urgency):\n    return {}\n"
    file = tmp_path / "rules.py"
    file.write_text(rule.format("rate"))
    Engine(ONE_CELL.with_overrides({"scheduler.metric": f"{file}:own"}), seed=1).save(tmp_path / "state")
    assert Engine.load(tmp_path / "state").scheduler == f"{file}:own"
    file.write_text(rule.format("rate * age"))
    with pytest.raises(
        SavedStateError, match=r"metric of the saved run is own [0-9a-f]{16}, of this one own"
    ):
        Engine.load(tmp_path / "state")


@pytest.mark.parametrize(
    "model", [flat, PropagationModel(path_loss=flat, decorrelation_los_m=5.0, decorrelation_o2i_m=5.0)]
)
def test_a_plug_in_excuses_no_maps_that_are_larger_than_the_file(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: OwnPropagation
) -> None:
    monkeypatch.setattr("ran_sim.engine.engine.build_network", lambda *_: pytest.fail("a network is built"))
    change = signed(with_header(scenario=TOO_WIDE, plugins={"path_loss": plugin_identity(flat)}))
    path = rewritten(state, tmp_path / "wide", change)
    with pytest.raises(SavedStateError, match="wide: is shorter than a state of its scenario"):
        Engine.load(path, path_loss=model)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SavedStateError, match="cannot be written"):
        Engine(ONE_CELL, seed=1).save(tmp_path / "none" / "state")
