"""What may leave the place of an xApp: the sensitivity of a question, and the border that holds it to a tier's trust zone."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from ranloop.inference import Card, Feature
from ranloop.placement.tiers import SENSITIVITIES, Tiers
from ranloop.vocabulary import Level
from ranloop.wire.inference import Sensitivity

__all__ = ("Border", "of_cut", "of_inputs")

log = structlog.get_logger(__name__)


def of_inputs(card: Card, level: Level) -> Sensitivity:
    """The sensitivity of a model's inputs: that of the most sensitive one.

    A measurement is at least as sensitive as the level of its report: rows of a cell or slice are of many users, all others of one.
    The card can only raise that. An input that the xApp computes has what the card says of it, or that of the level.
    """
    by_level: Sensitivity = "per-cell" if level in ("cell", "slice") else "per-ue"
    return _most(_of_feature(feature, by_level) for feature in card.features)


def of_cut(card: Card, level: Level, *, sends_input: bool) -> Sensitivity:
    """The sensitivity of what a head sends: that of the inputs, unless the card says otherwise and the input itself stays."""
    return (None if sends_input else card.sensitivity_inside) or of_inputs(card, level)


def _of_feature(feature: Feature, by_level: Sensitivity) -> Sensitivity:
    said = feature.sensitivity or by_level
    return _most((said, by_level)) if feature.measurement else said


def _most(kinds: Iterable[Sensitivity]) -> Sensitivity:
    return max(kinds, key=SENSITIVITIES.index)


class Border:
    """Lets data of a sensitivity out to a tier whose trust zone may see it, and says once what it keeps.

    Args:
        tiers: The file's.
    """

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self._told: set[tuple[str, Sensitivity]] = set()

    def lets_out(self, tier: str, sensitivity: Sensitivity) -> bool:
        """Whether it may go there."""
        if self._tiers.may_see(tier, sensitivity):
            return True
        if (tier, sensitivity) not in self._told:
            self._told.add((tier, sensitivity))
            zone = self._tiers[tier].zone
            log.warning(
                "data_stays_here", tier=tier, zone=zone, may_see=self._tiers.zones[zone], data=sensitivity
            )
        return False
