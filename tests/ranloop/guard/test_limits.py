"""The operator's limits: what no manifest can widen, and how a file of them is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from ranloop.errors import LimitsError
from ranloop.guard import AuditLog, Guard, Limits, Question, load_limits
from ranloop.guard.limits import COLUMNS
from ranloop.vocabulary import ACTIONS, Action, SetSliceQuota, SetTxPower, SetUeWeight
from ranloop.wire.messages import Cause, Result, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS, BatchFactory

DOCS = Path(__file__).parents[3] / "docs"


def limits_of(tmp_path: Path, text: str) -> Limits:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return load_limits(path)


def one(**keys: object) -> str:
    """A file with one limit: a floor of `min_pct` unless said otherwise."""
    said = {"name": "floor", "action": "SetSliceQuota", "parameter": "min_pct", "at_least": 10.0} | keys
    lines = [
        f"{key} = {repr(value).lower() if isinstance(value, bool) else repr(value)}"
        for key, value in said.items()
        if value is not None
    ]
    return "[[limits]]\n" + "\n".join(lines)


def guard_with(limits: Limits) -> Guard:
    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog(), rules=[limits.at(NODE)])
    guard.register("a", EVERYTHING)
    return guard


def quota(min_pct: float, max_pct: float = 100, *, cell: int = 0, slice_id: int = 1) -> SetSliceQuota:
    return SetSliceQuota(cell=cell, slice=slice_id, min_pct=min_pct, max_pct=max_pct, dedicated_pct=0)


def refusals(result: Result | None) -> list[tuple[Cause, str]]:
    return [] if result is None else list(result.causes[1:])


def test_a_value_past_a_limit_is_refused_by_its_name_with_value_bound_and_file(
    tmp_path: Path, batch: BatchFactory
) -> None:
    guard = guard_with(limits_of(tmp_path, one(name="video-floor", why="contract")))
    result = guard.submit(batch(quota(5)), sender="a", now_ns=0)
    assert refusals(result) == [
        (
            Cause.LIMIT,
            "min_pct 5 %; the operator's limit 'video-floor' in limits.toml says at least 10 % (contract)",
        )
    ]
    assert guard.submit(batch(quota(10)), sender="a", now_ns=0) is None


@pytest.mark.parametrize(
    ("keys", "action", "refused"),
    [
        ({"at_least": None, "at_most": 30.0}, quota(31), True),
        ({"at_least": None, "at_most": 30.0}, quota(30), False),
        ({"at_least": 33.3}, quota(33.3), False),  # the same number as float32
        ({"slice": "1-000001"}, quota(5, slice_id=1), True),
        ({"slice": "1-000001"}, quota(5, slice_id=2), False),
        ({"cell": "site-1/b"}, quota(5, cell=1), True),
        ({"cell": "site-1/b"}, quota(5, cell=0), False),
        ({"cell": "site-1/b", "slice": "2-000001"}, quota(5, cell=1, slice_id=1), False),
        ({"node": "site-1"}, quota(5), True),
        ({"node": "site-2"}, quota(5), False),
        ({}, SetTxPower(cell=0, tx_power_dbm=5), False),
    ],
)
def test_a_limit_binds_the_targets_that_it_names_and_no_others(
    tmp_path: Path, batch: BatchFactory, keys: dict[str, object], action: Action, refused: bool
) -> None:
    guard = guard_with(limits_of(tmp_path, one(**keys)))
    result = guard.submit(batch(action), sender="a", now_ns=0)
    assert (result is not None and result.count(Status.REFUSED) == 1) == refused


def test_a_quota_that_would_silence_a_slice_is_refused_by_the_name_of_the_floor(batch: BatchFactory) -> None:
    guard = guard_with(load_limits(DOCS / "examples" / "limits.toml"))
    result = guard.submit(batch(quota(0, max_pct=0, slice_id=2)), sender="a", now_ns=0)
    assert refusals(result) == [
        (
            Cause.LIMIT,
            "max_pct 0 %; the operator's limit 'no-slice-is-silenced' in limits.toml says at least 5 %",
        )
    ]


def test_a_setting_that_goes_back_to_the_nodes_configuration_is_not_judged(
    tmp_path: Path, batch: BatchFactory
) -> None:
    guard = guard_with(limits_of(tmp_path, one()))
    guard.submit(batch(quota(20)), sender="a", now_ns=0)
    for now_ns in (DELAY_NS, DELAY_NS + 300 * MS):
        (change,) = guard.due(now_ns)
        guard.settle(change, change.action.parameters(), now_ns)
    assert np.isnan(change.action.parameters()).all()


def test_a_class_of_flows_is_a_target_like_a_cell_or_a_slice() -> None:
    columns = {column for action in ACTIONS.values() for column in action.spec.targets}
    assert set(COLUMNS) == columns - {"ue"}
    (voice,) = [limit for limit in load_limits(DOCS / "examples" / "limits.toml").limits if limit.five_qi]
    assert (voice.action, voice.narrowed, voice.at_least) == ("SetClassWeight", {"five_qi": 1}, 1.0)


def test_a_target_that_a_limit_refuses_does_not_count_in_the_state(
    tmp_path: Path, batch: BatchFactory
) -> None:
    """Slice 1 wants 95 %, past the ceiling of 60; slice 2 wants 50 %: without the 95 that fits."""
    guard = guard_with(limits_of(tmp_path, one(at_least=None, at_most=60.0)))
    both = SetSliceQuota(cell=0, slice=[1, 2], min_pct=[95, 50], max_pct=100, dedicated_pct=0)
    assert guard.submit(batch(both), sender="a", now_ns=0) is None
    (change,) = guard.due(DELAY_NS)
    assert change.action.targets().tolist() == [[0, 2]]


def test_a_rule_of_ones_own_is_a_function(batch: BatchFactory) -> None:
    def not_on_ue_4(question: Question) -> None:
        hit = question.verdicts.targets[:, 0] == 4
        question.verdicts.decide(hit, Status.REFUSED, Cause.LIMIT, "UE 4 is being measured")

    guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog(), rules=[not_on_ue_4])
    guard.register("a", EVERYTHING)
    result = guard.submit(batch(SetUeWeight(ue=[4], weight=2)), sender="a", now_ns=0)
    assert refusals(result) == [(Cause.LIMIT, "UE 4 is being measured")]


# The file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (one(action="SetSliceQota"), "unknown action 'SetSliceQota'; did you mean SetSliceQuota?"),
        (one(parameter="min_pt"), "unknown parameter of SetSliceQuota 'min_pt'; did you mean min_pct"),
        (one(cel="a"), "limits.0.cel: no such key (did you mean cell?)"),
        (one(five_qi=1), "SetSliceQuota acts on a cell and a slice, not on a five_qi"),
        (one(at_least=None), "says neither at_least nor at_most"),
        (one(at_least=101.0), "101 is outside what SetSliceQuota takes for min_pct: 0 to 100 %"),
        (one(at_least=50.0, at_most=20.0), "at_least 50 is above at_most 20"),
        (one(at_least="10"), "limits.0.at_least: Input should be a valid number (got '10')"),
        (one(at_least=True), "limits.0.at_least: Input should be a valid number (got True)"),
        (
            one(action="Handover", parameter="target_cell", at_least=1.0),
            "target_cell is a name and no quantity",
        ),
        (one() + "\n" + one(), "floor: the name of more than one limit"),
        ("", "limits: Field required"),
        ("limits = []", "at least 1 item"),
        ("[[limits]", "is not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_one_line_that_says_why(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(LimitsError) as caught:
        limits_of(tmp_path, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LimitsError, match=r"none\.toml does not exist"):
        load_limits(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"node": "site-2"}, "floor: no node 'site-2'; there is site-1"),
        ({"cell": "site-1/c"}, "floor: no cell 'site-1/c'; there is site-1/"),
        ({"cell": "site-1/c", "node": "site-1"}, "floor: no cell 'site-1/c' at site-1; there is site-1/"),
        ({"slice": "9-999999"}, "floor: no slice '9-999999'; there is 1-000001, 2-000001"),
    ],
)
def test_a_limit_that_would_bind_nothing_is_refused_with_near_matches(
    tmp_path: Path, keys: dict[str, object], says: str
) -> None:
    limits = limits_of(tmp_path, one(**keys))
    with pytest.raises(LimitsError, match=re.escape(says)):
        limits.check([NODE])


def test_limits_that_bind_something_pass(tmp_path: Path) -> None:
    limits = limits_of(tmp_path, one(cell="site-1/b", slice="2-000001", node="site-1"))
    limits.check([NODE])
    assert [limit.name for limit in limits.limits] == ["floor"]


def test_the_page_shows_the_first_limit_of_the_example() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", (DOCS / "limits.md").read_text(), re.DOTALL)
    example = (DOCS / "examples" / "limits.toml").read_text()
    assert shown in example
    assert tomllib.loads(shown)["limits"] == tomllib.loads(example)["limits"][:1]
