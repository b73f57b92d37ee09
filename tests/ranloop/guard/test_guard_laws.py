"""What holds of the guard whatever xApps, operators and UEs do, in any order."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ranloop.guard import AuditLog, Autonomy, Change, Guard
from ranloop.vocabulary import Action, Handover, SetSliceQuota, SetUeWeight
from ranloop.wire.messages import FOR_EVER_NS, ActionBatch, Result, Status
from tests.ranloop.guard.one_site import DELAY_NS, EVERYTHING, MS, NODE, SLOT_NS

TERMINAL = {Status.APPLIED, Status.REFUSED, Status.EXPIRED, Status.RECOMMENDED, Status.UNKNOWN}
XAPPS = ("a", "b", "boss")
UES = st.integers(0, 5)
CONFIGURED_PCT = {1: 40.0, 2: 50.0}
SHARED = dataclasses.replace(NODE, slice_min_pct=CONFIGURED_PCT)
WEIGHTS = st.sampled_from([0.001, 0.5, 1.0, 2.0, 3.0, 100.0, 101.0, float("nan"), float("inf")])


class AnyTraffic(RuleBasedStateMachine):
    """A guard with three xApps, and a node as simple as can be: the last value of each target.

    Only a minimum that goes back to the configuration waits there until it fits. The node answers at once, or, while it
    is slow, when it likes or never. After an answer was lost the guard cannot know all minima: from then on the node
    itself keeps a cell's minima as they are where they would not fit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guard = Guard(SHARED, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog())
        self.guard.register("a", EVERYTHING)
        self.guard.register("b", EVERYTHING)
        self.guard.register("boss", EVERYTHING, priority=5)
        self.now_ns = 0
        self.ids = itertools.count()
        self.sent: list[ActionBatch] = []
        self.verdict: dict[str, Result] = {}
        self.live_ues = set(range(5))
        self.weight: dict[int, float] = {}
        self.min_pct = {(cell, slice_id): pct for cell in (0, 1) for slice_id, pct in CONFIGURED_PCT.items()}
        self.unset = set(self.min_pct)
        self.slow = False
        self.open: Change | None = None  # with the slow node
        self.lost = False
        self.busy: set[int] = set()  # UEs of which the node refuses new weights

    # The node

    def apply(self, action: Action, refused: set[int]) -> np.ndarray:
        values, before = action.parameters(), dict(self.min_pct)
        applied = values.copy()
        for row, target in enumerate(action.targets().tolist()):
            if isinstance(action, SetSliceQuota):
                key = target[0], target[1]
                if np.isnan(values[row]).all():
                    self.unset.add(key)
                else:
                    self.unset.discard(key)
                    self.min_pct[key] = float(values[row, 0])
            elif target[0] not in self.live_ues or row in refused:
                applied[row] = np.nan
            elif isinstance(action, SetUeWeight):
                self.weight[target[0]] = float(values[row, 0])
        for row, (cell, slice_id) in enumerate(action.targets().tolist() if self.lost_quotas(action) else ()):
            if sum(share for (c, _), share in self.min_pct.items() if c == cell) > 100:
                self.min_pct |= {key: share for key, share in before.items() if key[0] == cell}
            applied[row, 0] = self.min_pct[cell, slice_id]
        for cell, slice_id in sorted(self.unset, key=lambda key: CONFIGURED_PCT[key[1]] - self.min_pct[key]):
            others = sum(self.min_pct[key] for key in self.min_pct if key[0] == cell and key[1] != slice_id)
            if others + CONFIGURED_PCT[slice_id] <= 100:
                self.min_pct[cell, slice_id] = CONFIGURED_PCT[slice_id]
        return applied

    def lost_quotas(self, action: Action) -> bool:
        return self.lost and isinstance(action, SetSliceQuota)

    def carry_out(self) -> None:
        for change in self.guard.due(self.now_ns):
            assert self.open is None, "a second change while one is open"
            self.open = change
            if not self.slow:
                self.answer()

    def done(self, change: Change) -> np.ndarray:
        """Do it, as a node does."""
        values = change.action.parameters()
        assert isinstance(change.action, SetSliceQuota) or not np.isnan(values).any()
        ues_there = all(t[0] in self.live_ues for t in change.action.targets().tolist())
        if change.atomic and not isinstance(change.action, SetSliceQuota) and not ues_there:
            return np.full(values.shape, np.nan, np.float32)
        return self.apply(change.action, set(self.reasons(change)))

    def answer(self) -> None:
        if self.open is not None:
            change, self.open = self.open, None
            reasons = self.reasons(change)
            if change.atomic and reasons:
                applied = np.full(change.action.parameters().shape, np.nan, np.float32)
            else:
                applied = self.done(change)
            self.note(self.guard.settle(change, applied, self.now_ns, reasons))

    def reasons(self, change: Change) -> dict[int, str]:
        if not (change.xapp and isinstance(change.action, SetUeWeight)):
            return {}
        refused = self.busy & self.live_ues
        return {row: "busy" for row, ue in enumerate(change.action.ue.tolist()) if ue in refused}

    def note(self, results: list[Result]) -> None:
        """Terminal results come once; ENDED only after APPLIED, or where that is not known."""
        for result in results:
            if (result.status == Status.ENDED).all() and len(result):
                applied = self.verdict[result.id]
                fine = applied.targets[np.isin(applied.status, [Status.APPLIED, Status.UNKNOWN])].tolist()
                assert all(target in fine for target in result.targets.tolist())
            else:
                assert result.id not in self.verdict, "a second terminal result"
                assert set(result.status.tolist()) <= TERMINAL
                self.verdict[result.id] = result
                if self.sent[int(result.id)].atomic:
                    assert result.count(Status.APPLIED) in (0, len(result)), "half of an atomic batch"

    # What can happen

    def send(self, xapp: str, action: Action, *, atomic: bool, lease_ms: int | None, valid_ms: int) -> None:
        batch = ActionBatch(
            id=str(next(self.ids)),
            xapp=xapp,
            node="site-1",
            seq=len(self.sent),
            action=action,
            valid_until_ns=self.now_ns + valid_ms * MS,
            lease_ms=lease_ms,
            atomic=atomic,
        )
        self.sent.append(batch)
        result = self.guard.submit(batch, sender=xapp, now_ns=self.now_ns)
        if result is not None:
            self.note([result])

    @rule(
        xapp=st.sampled_from(XAPPS),
        rows=st.lists(st.tuples(UES, WEIGHTS), min_size=1, max_size=4),
        atomic=st.booleans(),
        lease_ms=st.sampled_from([None, 1, 20, 300]),
        valid_ms=st.sampled_from([0, 9, 11, 1000]),
    )
    def weigh(
        self, xapp: str, rows: list[tuple[int, float]], atomic: bool, lease_ms: int | None, valid_ms: int
    ) -> None:
        action = SetUeWeight(ue=[ue for ue, _ in rows], weight=[weight for _, weight in rows])
        self.send(xapp, action, atomic=atomic, lease_ms=lease_ms, valid_ms=valid_ms)

    @rule(
        xapp=st.sampled_from(XAPPS),
        cell=st.integers(0, 1),
        minima=st.lists(st.sampled_from([0.0, 30.0, 60.0, 90.0]), min_size=1, max_size=2),
        first=st.integers(1, 2),
        atomic=st.booleans(),
    )
    def share(self, xapp: str, cell: int, minima: list[float], first: int, atomic: bool) -> None:
        slices = [first, 3 - first][: len(minima)]
        action = SetSliceQuota(cell=cell, slice=slices, min_pct=minima, max_pct=100, dedicated_pct=0)
        self.send(xapp, action, atomic=atomic, lease_ms=None, valid_ms=1000)

    @rule(xapp=st.sampled_from(XAPPS), ue=UES)
    def hand_over(self, xapp: str, ue: int) -> None:
        self.send(xapp, Handover(ue=[ue], target_cell=1), atomic=False, lease_ms=None, valid_ms=1000)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        if not self.sent:
            return
        batch = data.draw(st.sampled_from(self.sent[-20:]))
        if self.now_ns < batch.valid_until_ns:
            again = self.guard.submit(batch, sender=batch.xapp, now_ns=self.now_ns)
            assert again is self.verdict.get(batch.id)

    @rule(ms=st.sampled_from([1, 5, 10, 100, 400]))
    def run_on(self, ms: int) -> None:
        """To each event in turn, as a node host does."""
        until_ns = self.now_ns + ms * MS
        while (event_ns := self.guard.next_event_ns()) <= until_ns:
            assert self.open is None
            self.now_ns = max(self.now_ns, event_ns)
            self.carry_out()
        self.now_ns = until_ns

    @rule(ms=st.sampled_from([15, 500]))
    def wake_up_late(self, ms: int) -> None:
        """A live host that was busy sees several events at once."""
        self.now_ns += ms * MS
        self.carry_out()

    @rule()
    def turn_slow(self) -> None:
        self.slow = True

    @rule()
    def turn_quick(self) -> None:
        self.slow = False
        self.answer()
        self.carry_out()

    @rule()
    def answer_late(self) -> None:
        self.answer()
        self.carry_out()

    @rule(arrived=st.booleans())
    def lose(self, arrived: bool) -> None:
        """The answer does not come, whether the node did it or not."""
        if self.open is not None:
            change, self.open, self.lost = self.open, None, True
            if arrived:
                self.done(change)
            self.note(self.guard.lose(change, self.now_ns))
            self.carry_out()

    @rule(ue=UES)
    def turn_busy(self, ue: int) -> None:
        self.busy ^= {ue}

    @rule(ue=UES)
    def leave(self, ue: int) -> None:
        self.live_ues.discard(ue)
        self.weight.pop(ue, None)
        self.note(self.guard.forget_targets("ue", np.array([ue], np.int32), self.now_ns))
        assert ue not in self.guard.held_targets("ue") or self.guard.next_event_ns() < FOR_EVER_NS

    @rule(xapp=st.sampled_from(XAPPS), autonomy=st.sampled_from(list(Autonomy)))
    def order(self, xapp: str, autonomy: Autonomy) -> None:
        self.note(self.guard.set_autonomy(xapp, autonomy, self.now_ns))

    @rule()
    def kill(self) -> None:
        """With an open change it takes until the answer, and until defaults that were lost have come again."""
        self.note(self.guard.kill(self.now_ns))
        self.settle_down()
        self.all_is_default()
        self.guard.revive(self.now_ns)

    @rule()
    def kill_and_revive_a_busy_node(self) -> None:
        self.note(self.guard.kill(self.now_ns))
        self.guard.revive(self.now_ns)

    # What must hold

    def settle_down(self) -> None:
        """Let the node answer at once until the guard has nothing left to say."""
        self.turn_quick()
        while (event_ns := self.guard.next_event_ns()) < FOR_EVER_NS:
            self.now_ns = max(self.now_ns, event_ns)
            self.carry_out()

    def all_is_default(self) -> None:
        assert all(weight == 1 for weight in self.weight.values())
        assert all(share == CONFIGURED_PCT[slice_id] for (_, slice_id), share in self.min_pct.items())
        assert self.guard.next_event_ns() == FOR_EVER_NS

    @invariant()
    def values_are_in_range(self) -> None:
        assert all(0.0099999 < weight <= 100 for weight in self.weight.values())

    @invariant()
    def the_minima_of_a_cell_fit(self) -> None:
        for cell in (0, 1):
            assert sum(share for (c, _), share in self.min_pct.items() if c == cell) <= 100

    def teardown(self) -> None:
        """When nobody renews anything, every value is the default and every batch has its result."""
        self.settle_down()
        self.all_is_default()
        assert set(self.verdict) == {batch.id for batch in self.sent}


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(stateful_step_count=40)


def test_two_guards_fed_alike_say_the_same() -> None:
    """Order and outcome depend on what was sent and when, on nothing else."""

    def story() -> list[tuple[str, bytes, bytes]]:
        guard = Guard(NODE, control_delay_ns=DELAY_NS, slot_ns=SLOT_NS, audit=AuditLog())
        for xapp in XAPPS:
            guard.register(xapp, EVERYTHING, priority=5 * (xapp == "boss"))
        rng = np.random.default_rng(7)
        said = []
        for k in range(200):
            now_ns = k * 15 * MS
            for change in guard.due(now_ns):
                for r in guard.settle(change, change.action.parameters(), now_ns):
                    said.append((r.id, r.status.tobytes(), r.applied.tobytes()))
            ues = rng.choice(20, size=6, replace=False)
            action = SetUeWeight(ue=ues, weight=rng.uniform(0.5, 3, 6))
            xapp = XAPPS[k % 3]
            batch = ActionBatch(
                id=str(k), xapp=xapp, node="site-1", seq=k, action=action, valid_until_ns=now_ns + 100 * MS
            )
            guard.submit(batch, sender=xapp, now_ns=now_ns)
        return said

    first = story()
    assert len(first) > 100
    assert first == story()
