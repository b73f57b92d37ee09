"""One small valid message of every kind, and strategies that make any valid one."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ranloop.foreign import some_lines
from ranloop.vocabulary import ACTIONS, ID_COLUMNS, LEVELS, Action, Level, SetSliceQuota, SetUeWeight
from ranloop.wire import (
    MAX_ID,
    ActionBatch,
    Admission,
    Alarm,
    Alarms,
    Answer,
    Catalogue,
    Cause,
    CellPlace,
    CellRelation,
    Message,
    Order,
    Presence,
    Report,
    Result,
    Settings,
    Standing,
    Status,
    Step,
)
from ranloop.wire.asked import MOST_TEXT, Asked
from ranloop.wire.inference import Inference, Instead, Reason, Sensitivity

topics = st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True)
names = st.from_regex(r"[!-~]{1,40}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
runs = st.from_regex(r"[!-~]{0,64}", fullmatch=True)
counts = st.integers(0, 2**63 - 1)
spans = st.integers(0, 2**40 - 1)  # waits, rows and bytes of one answer
ids = st.integers(0, MAX_ID - 1)
stamps = st.dictionaries(names, st.integers(-(2**63), 2**63 - 1), max_size=4)
labels = st.dictionaries(ids, texts, max_size=4)
f32 = st.floats(width=32, allow_infinity=False)
finite_f32 = st.floats(width=32, allow_infinity=False, allow_nan=False)


inferences = st.builds(
    Inference,
    model=texts,
    tier=topics,
    reason=st.sampled_from(get_args(Reason)),
    asked_ns=counts,
    instead=st.sampled_from(get_args(Instead)),
    waited_ns=spans,
    rows=spans,
    rows_above=spans,
    sent_bytes=st.dictionaries(st.sampled_from(get_args(Sensitivity)), spans, max_size=4),
    joules=st.none() | st.floats(0, 1e300),
    confidence=st.none() | st.floats(0, 1),
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    level: Level = draw(st.sampled_from(LEVELS))
    measured = tuple(draw(st.lists(names, max_size=5, unique=True)))
    rows, n_ids = draw(st.integers(0, 5)), len(ID_COLUMNS[level])
    block = np.empty((rows, n_ids + len(measured)), np.float32)
    block[:, :n_ids] = draw(hnp.arrays(np.int32, (rows, n_ids), elements=ids))
    block[:, n_ids:] = draw(hnp.arrays(np.float32, (rows, len(measured)), elements=f32))
    return Report(
        node=draw(topics),
        level=level,
        period_ms=draw(st.integers(1, 86_400_000)),
        seq=draw(counts),
        ran_time_ns=draw(counts),
        ids=ID_COLUMNS[level],
        names=measured,
        block=block,
        labels=draw(st.dictionaries(st.sampled_from(ID_COLUMNS[level]), labels, max_size=2)),
        run=draw(runs),
        stamps=draw(stamps),
    )


@st.composite
def actions(draw: st.DrawFn) -> Action:
    kind = draw(st.sampled_from(sorted(ACTIONS)))
    spec, n = ACTIONS[kind].spec, draw(st.integers(0, 5))
    targets = draw(hnp.arrays(np.int32, (n, len(spec.targets)), elements=ids))
    return ACTIONS[kind].from_columns(
        targets, draw(hnp.arrays(np.float32, (n, len(spec.parameters)), elements=finite_f32))
    )


numbers = st.lists(st.lists(st.none() | finite_f32.map(float), max_size=3).map(tuple), max_size=2).map(tuple)
words = st.text(st.characters(codec="utf-8"), max_size=MOST_TEXT)
asked = st.builds(
    Asked,
    model=texts,
    version=words,
    rows=counts,
    ids=st.dictionaries(words, st.lists(ids, max_size=2).map(tuple), max_size=2),
    features=st.lists(words, max_size=2).map(tuple),
    inputs=numbers,
    outputs=numbers,
    outside=st.lists(words, max_size=2).map(tuple),
)


@st.composite
def batches(draw: st.DrawFn) -> ActionBatch:
    return ActionBatch(
        id=draw(names),
        xapp=draw(topics),
        node=draw(topics),
        seq=draw(counts),
        action=draw(actions()),
        valid_until_ns=draw(counts),
        lease_ms=draw(st.none() | st.integers(1, 86_400_000)),
        atomic=draw(st.booleans()),
        models=tuple(draw(st.lists(texts, max_size=2))),
        inferences=tuple(draw(st.lists(inferences, max_size=2))),
        report_seq=draw(st.integers(-1, 2**63 - 1)),
        run=draw(runs),
        stamps=draw(stamps),
        asked=tuple(draw(st.lists(asked, max_size=2))),
    )


@st.composite
def results(draw: st.DrawFn) -> Result:
    n, n_keys, n_values = (draw(st.integers(0, most)) for most in (5, 3, 3))
    causes = ((Cause.NONE, ""), *draw(st.lists(st.tuples(st.sampled_from(Cause), texts), max_size=3)))
    return Result(
        id=draw(names),
        xapp=draw(topics),
        node=draw(topics),
        action=draw(names),
        targets=draw(hnp.arrays(np.int32, (n, n_keys), elements=ids)),
        status=draw(hnp.arrays(np.uint8, n, elements=st.sampled_from([int(one) for one in Status]))),
        cause=draw(hnp.arrays(np.uint8, n, elements=st.integers(0, len(causes) - 1))),
        causes=causes,
        applied=draw(hnp.arrays(np.float32, (n, n_values), elements=f32)),
        ran_time_ns=draw(counts),
        stamps=draw(stamps),
    )


metres = st.floats(-1e6, 1e6)
catalogues = st.builds(
    Catalogue,
    node=topics,
    measurements=st.dictionaries(st.sampled_from(LEVELS), st.lists(names, max_size=3).map(tuple), max_size=4),
    actions=st.lists(names, max_size=3).map(tuple),
    periods_ms=st.lists(st.integers(1, 86_400_000), max_size=3).map(tuple),
    cells=labels,
    slices=labels,
    slice_min_pct=st.dictionaries(ids, st.floats(0, 100), max_size=3),
    control_delay_ms=st.floats(0.001, 1e6),
    geometry=st.dictionaries(
        ids,
        st.builds(
            CellPlace,
            site=texts,
            x_m=metres,
            y_m=metres,
            azimuth_deg=st.none() | st.floats(0, 360, exclude_max=True),
            height_m=st.none() | metres,
            beam_width_deg=st.none() | st.floats(1, 360),
        ),
        max_size=3,
    ),
    neighbours=st.dictionaries(
        ids,
        st.lists(
            st.builds(
                CellRelation,
                cell=ids,
                name=texts,
                is_ho_allowed=st.booleans(),
                cell_individual_offset_db=st.none() | st.floats(-24, 24),
            ),
            max_size=3,
        ).map(tuple),
        max_size=3,
    ),
    scheduler_models=labels,
)
facts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
presences = st.builds(
    Presence, name=topics, alive=st.booleans(), facts=st.dictionaries(texts, facts, max_size=4)
)
orders = st.builds(
    Order,
    id=st.just("") | topics,
    kill=st.none() | st.booleans(),
    xapp=st.just("") | topics,
    autonomy=st.sampled_from(["", "observe", "recommend", "act"]),
)
standings = st.builds(
    Standing,
    node=topics,
    order=st.just("") | topics,
    killed=st.booleans(),
    autonomy=st.dictionaries(topics, st.sampled_from(["observe", "recommend", "act"]), max_size=3),
    shut_out=st.dictionaries(topics, topics, max_size=3),
    refused=texts,
)
admissions = st.builds(
    Admission,
    id=topics,
    xapp=topics,
    admitted=st.booleans(),
    rights=st.dictionaries(texts, st.lists(st.integers(-(2**31), 2**31)), max_size=3),
    autonomy=st.sampled_from(["observe", "recommend", "act"]),
    priority=st.integers(-1_000_000, 1_000_000),
    encoding=st.sampled_from(["binary", "json"]),
)
operator_settings = st.builds(
    Settings,
    id=topics,
    values=st.dictionaries(
        texts,
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        max_size=4,
    ),
    by=st.sampled_from(["", "anna b"]),
)
alarms = st.builds(
    Alarms,
    xapp=topics,
    active=st.lists(
        st.builds(
            Alarm,
            name=st.sampled_from(["sleeping-cell", "X.1"]),
            severity=st.sampled_from(["critical", "major", "minor", "warning"]),
            node=st.just("") | topics,
            target=texts,
            text=texts,
            since_ns=counts,
        ),
        max_size=4,
        unique_by=lambda alarm: alarm.key,
    ).map(tuple),
    left_out=counts,
)
steps = st.builds(
    Step,
    settings=st.none() | operator_settings,
    host=topics,
    step=counts,
    ran_time_ns=counts,
    reports=st.lists(reports(), max_size=3).map(tuple),
    results=st.lists(results(), max_size=3).map(tuple),
    timers=st.lists(texts, max_size=3).map(tuple),
    last=st.booleans(),
)
answers = st.builds(
    Answer,
    xapp=topics,
    step=counts,
    batches=st.lists(batches(), max_size=3).map(tuple),
    error=texts.map(lambda text: some_lines(text, 60)),
)


STRATEGIES: dict[str, st.SearchStrategy[Message]] = {
    "report": reports(),
    "action_batch": batches(),
    "result": results(),
    "catalogue": catalogues,
    "presence": presences,
    "order": orders,
    "standing": standings,
    "admission": admissions,
    "settings": operator_settings,
    "alarms": alarms,
    "step": steps,
    "answer": answers,
}


def same(one: Any, other: Any) -> bool:
    """Whether two messages say the same: NaN equals NaN, a mapping is a mapping, an array an array."""
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    fields = getattr(one, "__dataclass_fields__", None)
    if fields is not None and not isinstance(one, Action):
        return type(one) is type(other) and all(same(getattr(one, f), getattr(other, f)) for f in fields)
    return bool(one == other)


def report(**changes: Any) -> Report:
    """Two UEs of one cell: throughput, and a CQI that one of them has no value of."""
    block = np.array([[7, 3, 1200.5, 11], [9, 3, 0.0, np.nan]], np.float32)
    given: dict[str, Any] = {
        "node": "gnb-1",
        "level": "ue",
        "period_ms": 100,
        "seq": 4,
        "ran_time_ns": 500_000_000,
        "ids": ("ue", "cell"),
        "names": ("DRB.UEThpDl", "CQI"),
        "block": block,
        "labels": {"ue": {7: "imsi-7", 9: "imsi-9"}, "cell": {3: "north"}},
        "stamps": {"counted": 123},
    }
    return Report(**(given | changes))


def batch(**changes: Any) -> ActionBatch:
    given: dict[str, Any] = {
        "id": "qos-1-17",
        "xapp": "qos",
        "node": "gnb-1",
        "seq": 17,
        "action": SetUeWeight(ue=[7, 9], weight=[1.0, 4.0]),
        "valid_until_ns": 10**9,
        "lease_ms": 300,
        "models": ("late-flow@0a1b",),
        "asked": (
            Asked(
                model="late-flow@0a1b",
                version="1.2.0",
                rows=60,
                ids={"ue": (7,)},
                features=("CQI",),
                inputs=((12.5,),),
                outputs=((None,),),
                outside=("CQI",),
            ),
        ),
        "inferences": (
            Inference(
                model="late-flow@0a1b",
                tier="regional",
                reason="better",
                asked_ns=500_000_000,
                waited_ns=20_000_000,
                rows=2,
                rows_above=2,
                sent_bytes={"per-ue": 264},
                joules=0.25,
            ),
        ),
        "report_seq": 4,
    }
    return ActionBatch(**(given | changes))


def result(**changes: Any) -> Result:
    given: dict[str, Any] = {
        "id": "qos-1-17",
        "xapp": "qos",
        "node": "gnb-1",
        "action": "SetUeWeight",
        "targets": np.array([[7], [9]], np.int32),
        "status": np.array([Status.APPLIED, Status.REFUSED], np.uint8),
        "cause": np.array([0, 1], np.uint8),
        "causes": ((Cause.NONE, ""), (Cause.RANGE, "weight 4 is above 2")),
        "applied": np.array([[1.0], [np.nan]], np.float32),
        "ran_time_ns": 520_000_000,
    }
    return Result(**(given | changes))


def one_of_each() -> dict[str, Message]:
    """Kind -> a small valid message."""
    quota = SetSliceQuota(cell=3, slice=[0, 1], min_pct=[40, 60], max_pct=100, dedicated_pct=0)
    return {
        "report": report(),
        "action_batch": batch(),
        "result": result(),
        "catalogue": Catalogue(
            node="gnb-1",
            measurements={"ue": ("DRB.UEThpDl", "CQI"), "cell": ("RRU.PrbTotDl",)},
            actions=("SetUeWeight",),
            periods_ms=(100, 1000),
            cells={3: "north"},
            slices={0: "01-000001"},
            slice_min_pct={0: 30.0},
            geometry={3: CellPlace(site="mast", x_m=-1.5, y_m=200.0, azimuth_deg=30.0, height_m=25.0)},
            neighbours={3: (CellRelation(cell=4, name="south", is_ho_allowed=False),)},
        ),
        "presence": Presence(
            name="qos", alive=True, facts={"version": "1.2", "pid": 17, "models": ["a", "b"]}
        ),
        "order": Order(id="0f", kill=True, xapp="qos", autonomy="observe"),
        "admission": Admission(
            id="0f",
            xapp="qos",
            rights={"actions": [{"name": "SetUeWeight", "ranges": {"weight": [1.0, 4.0]}}]},
            priority=2,
        ),
        "settings": Settings(id="0f", values={"gain": 1.5, "mode": "quick", "on": True, "n": 3}, by="anna"),
        "alarms": Alarms(
            xapp="qos",
            active=(
                Alarm(
                    name="sleeping-cell",
                    severity="major",
                    node="gnb-1",
                    target="north",
                    text="no UE for 60 s",
                    since_ns=5,
                ),
            ),
            left_out=1,
        ),
        "standing": Standing(node="gnb-1", order="0f", killed=True, autonomy={"qos": "observe"}),
        "step": Step(
            host="sim",
            step=3,
            ran_time_ns=5,
            reports=(report(), report(seq=5)),
            results=(result(),),
            timers=("t",),
        ),
        "answer": Answer(
            xapp="qos",
            step=3,
            batches=(batch(), batch(action=quota)),
            waited_ns=7_000_000,
            error="Traceback: ...",
        ),
    }
