"""Where a model is best cut: all cuts at all tiers by the figures of the tiers file, beside the whole model here and at each tier.

The time of a way is that of the head here, of the way to the tier with the bytes of one row, and of the tail there (Kang et al.,
"Neurosurgeon", ASPLOS 2017). There are few cuts and tiers, so every combination is worked out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ranloop.errors import PlacementError
from ranloop.foreign import one_line
from ranloop.placement.graph import Cut
from ranloop.placement.packing import Packing, Wire
from ranloop.placement.port import HEADER_BYTES
from ranloop.placement.privacy import of_cut, of_inputs
from ranloop.placement.split import CutModel
from ranloop.placement.tiers import Tiers
from ranloop.vocabulary import Level

__all__ = ("Plan", "Way", "plan_split")


class Way(NamedTuple):
    """One way to compute a row.

    Attributes:
        cut: None for the whole model.
        tier: Where the tail, or the whole model, is computed.
        n_bytes: Of the question; 0 if nothing is asked.
        here_ns: Of the head.
        there_ns: Of the way and the tail.
        may_leave: Whether the tier's trust zone may see what is sent.
    """

    cut: Cut | None
    tier: str
    n_bytes: int
    here_ns: int
    there_ns: int
    may_leave: bool

    @property
    def took_ns(self) -> int:
        return self.here_ns + self.there_ns

    def __str__(self) -> str:
        what = "the whole model" if self.cut is None else f"the cut {one_line(self.cut.name, 60)}"
        return f"{what} at {self.tier} takes {self.took_ns / 1e6:.4g} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All ways of a model.

    Attributes:
        ways: Every cut at every tier that was asked about, and the whole model here and there.
        split: The quickest cut that may leave and gives the bits of the whole model; None if there is none.
        whole: The quickest way without a cut.
    """

    ways: tuple[Way, ...]
    split: Way | None
    whole: Way

    @property
    def wins(self) -> bool:
        return self.split is not None and self.split.took_ns < self.whole.took_ns

    def __str__(self) -> str:
        if self.split is None:
            return f"a split is refused: no cut gives the bits of the whole model and may leave to these tiers; {self.whole}"
        if self.wins:
            return f"a split wins: {self.split}, {self.whole}"
        return f"a split is refused, it loses: {self.split}, {self.whole}"


def plan_split(
    model: CutModel,
    tiers: Tiers,
    ask: Sequence[str],
    *,
    wire: Wire = "f32",
    level: Level = "ue",
    only: Cut | None = None,
) -> Plan:
    """Work out all ways of a model.

    Args:
        model: The model.
        tiers: The file's.
        ask: Tiers that may compute the tail.
        wire: Form of the cut's tensors.
        level: Of the reports that the model is asked about.
        only: The one cut to look at; all, if None.

    Raises:
        PlacementError: The tiers file has no such tier.
    """
    if unknown := [tier for tier in ask if tier not in tiers.tiers]:
        raise PlacementError(f"there is no tier {unknown[0]!r}; the tiers file has {', '.join(tiers.tiers)}")
    cuts = model.cuts if only is None else (only,)
    ways = tuple(_ways(model, cuts, tiers, ask, wire, level))
    whole = min((way for way in ways if way.cut is None and way.may_leave), key=lambda way: way.took_ns)
    splits = sorted(
        (way for way in ways if way.cut is not None and way.may_leave), key=lambda way: way.took_ns
    )
    best = next((way for way in splits if way.cut is not None and model.same_bits(way.cut)), None)
    return Plan(ways=ways, split=best, whole=whole)


def _ways(
    model: CutModel, cuts: Sequence[Cut], tiers: Tiers, ask: Sequence[str], wire: Wire, level: Level
) -> Iterator[Way]:
    here, mmac, inputs = tiers[tiers.here], model.graph.mmac, of_inputs(model.card, level)
    yield Way(None, tiers.here, 0, here.cost(0, mmac).time_ns, 0, True)
    n_bytes = HEADER_BYTES + 4 * math.prod(model.card.row_shape)
    for tier in ask:
        yield Way(
            None, tier, n_bytes, 0, tiers[tier].cost(n_bytes, mmac).time_ns, tiers.may_see(tier, inputs)
        )
    for cut in cuts:
        n_bytes = HEADER_BYTES + 4 * Packing(cut.tensors, wire).words
        kind = of_cut(model.card, level, sends_input=cut.sends_input)
        head_ns = here.cost(0, cut.mmac_head).time_ns
        for tier in ask:
            tail_ns = tiers[tier].cost(n_bytes, cut.mmac_tail).time_ns
            yield Way(cut, tier, n_bytes, head_ns, tail_ns, tiers.may_see(tier, kind))
