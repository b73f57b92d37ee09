"""An xApp as one node's guard knows it: its rights at this node, its rate, and the ids it has used."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from ranloop.guard.autonomy import Autonomy
from ranloop.guard.leases import I64
from ranloop.guard.results import KnownTargets
from ranloop.guard.rights import ActionRight, Rights
from ranloop.vocabulary import action_type
from ranloop.wire.messages import F32, Catalogue, Result

_NS_PER_S = 1_000_000_000


class TokenBucket:
    """A rate in RAN time that allows a `burst`: one second's worth if left out, and always one."""

    __slots__ = ("_at_ns", "_burst", "_rate_per_ns", "_tokens")

    def __init__(self, rate_per_s: float, burst: float | None = None) -> None:
        self._rate_per_ns = rate_per_s / _NS_PER_S
        self._burst = max(1.0, rate_per_s) if burst is None else burst
        self._tokens = self._burst
        self._at_ns = 0

    def take(self, now_ns: int, amount: float = 1.0) -> bool:
        """Spend `amount` tokens if there are so many."""
        self._tokens = min(self._burst, self._tokens + (now_ns - self._at_ns) * self._rate_per_ns)
        self._at_ns = now_ns
        if self._tokens < amount - 1e-9:  # rounding of ten tenths must not cost the tenth token
            return False
        self._tokens -= amount
        return True


class IdMemory:
    """The batch ids of one xApp with their answers, for as long as a retry could arrive."""

    __slots__ = ("_answers", "_forget", "n_bytes")

    def __init__(self) -> None:
        self._answers: dict[str, Result | None] = {}  # None: accepted, waiting for its slot
        self._forget: list[tuple[int, str, int]] = []  # heap of (when, id, bytes)
        self.n_bytes = 0  # that the answers take

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, batch_id: str) -> bool:
        return batch_id in self._answers

    def __getitem__(self, batch_id: str) -> Result | None:
        return self._answers[batch_id]

    def remember(self, batch_id: str, n_bytes: int, *, until_ns: int) -> None:
        """Keep the id of a batch that waits for its answer, which will take `n_bytes`."""
        self._answers[batch_id] = None
        self.n_bytes += n_bytes
        heapq.heappush(self._forget, (until_ns, batch_id, n_bytes))

    def answer(self, batch_id: str, result: Result) -> None:
        """Fill in the result of an id that was waiting."""
        if batch_id in self._answers:
            self._answers[batch_id] = result

    def prune(self, now_ns: int) -> None:
        while self._forget and self._forget[0][0] <= now_ns:
            _, batch_id, n_bytes = heapq.heappop(self._forget)
            del self._answers[batch_id]
            self.n_bytes -= n_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """One `ActionRight` at one node, ready to be compared with arrays.

    A setting is held for `lease_ms` where its batch does not say, and no batch looks further ahead than `longest_ms`.
    `low` and `high` [n_parameters] are the rights' ranges; `is_wider` tells that they let through what the catalogue
    does not, because they are wider or know nothing of whole numbers; `cells` are the dense ids of the permitted cells,
    None for all.
    """

    right: ActionRight
    lease_ms: int
    longest_ms: int
    low: F32
    high: F32
    is_wider: bool
    cells: I64 | None
    bucket: TokenBucket
    renewed: KnownTargets = field(default_factory=KnownTargets)


@dataclass(slots=True, eq=False)
class Grant:
    """One registered xApp."""

    xapp: str
    number: int
    rights: Rights
    autonomy: Autonomy
    priority: int
    permits: dict[str, Permit]
    admitted: bool = True
    ids: IdMemory = field(default_factory=IdMemory)


def permit(right: ActionRight, rights: Rights, catalogue: Catalogue, max_lease_ms: int | None) -> Permit:
    """What `right`, one of `rights`, comes to at the node of `catalogue`: cells of other nodes are not among its.

    `max_lease_ms` is the operator's own word on leases, None for none.
    """
    spec = action_type(right.name).spec
    bounds = [right.ranges.get(p.name, (p.low, p.high)) for p in spec.parameters]
    cells = None
    if right.cells != "*":
        cells = np.array([i for i, name in catalogue.cells.items() if name in right.cells], np.int64)
    return Permit(
        right=right,
        lease_ms=rights.default_lease_ms(right),
        longest_ms=rights.longest_lease_ms(right) if max_lease_ms is None else max_lease_ms,
        low=np.array([low for low, _ in bounds], np.float32),
        high=np.array([high for _, high in bounds], np.float32),
        is_wider=any(
            low < p.low or high > p.high or p.integer
            for p, (low, high) in zip(spec.parameters, bounds, strict=True)
        ),
        cells=cells,
        bucket=TokenBucket(right.rate_per_s),
    )
