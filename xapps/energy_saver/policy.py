"""The decisions of energy_saver: NumPy in, NumPy out, one entry per cell of a site. A NaN is "no value", and counts as full."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
LONGEST_SLEEP_S = (
    600.0  # then a cell wakes and looks who is there, whatever the reports of its neighbours say
)


class Site(NamedTuple):
    """What is known of the cells of one site, shape [n] each."""

    load: F32  # share of the PRBs in use, 0 to 1
    ues: F32  # connected
    asleep: Bools
    held_s: F32  # since the cell fell asleep or woke
    uncovered: F32  # UEs that hear no neighbour well enough to go there
    weak: F32  # UEs that hear the cell itself too weakly
    takers_load: F32  # of the cells that would take over and are awake, 0 to 1; see `area.Takers`
    takers_weak: F32  # UEs of these that hear their cell too weakly
    takers_asleep: F32  # share of the cells that would take over and sleep


class Limits(NamedTuple):
    """What holds under both policies; see the manifest."""

    most_asleep: int
    shortest_wake_s: float
    shortest_sleep_s: float


class Threshold(NamedTuple):
    """Settings of the rule; see the manifest."""

    sleep_pct: float
    most_ues: float
    wake_pct: float


class Prices(NamedTuple):
    """Settings of the policy `burden`; see the manifest."""

    price_load: float
    price_ue: float
    price_takers_load: float
    price_weak: float
    price_asleep: float
    wake_burden: float


class Wishes(NamedTuple):
    """What a policy would do, if limits and coverage let it; shape [n] each."""

    may_fall: Bools  # cells that are awake and may fall asleep
    may_stay: Bools  # cells that sleep and may go on
    burden: F32  # the lower, the sooner a cell sleeps


def by_threshold(site: Site, rule: Threshold) -> Wishes:
    """The rule: a cell with few UEs sleeps while all awake cells of its site have little to do and no weak UE, until one has."""
    busiest_pct = 100.0 * _known(site.load[~site.asleep]).max(initial=0.0)
    few = site.ues <= rule.most_ues
    all_well = not site.weak.any()
    return Wishes(
        may_fall=few & (all_well and busiest_pct < rule.sleep_pct),
        may_stay=np.full(len(few), all_well and busiest_pct <= rule.wake_pct),
        burden=site.ues,
    )


def by_burden(site: Site, prices: Prices) -> Wishes:
    """A cell falls asleep while the priced burden that its sleep puts on others is below 1, and wakes above `wake_burden`."""
    load = np.where(site.asleep, 0.0, _known(site.load))
    ues = np.where(site.asleep, 0.0, _known(site.ues))
    own = _cost(prices.price_load, load) + _cost(prices.price_ue, ues)
    of_takers = (
        _cost(prices.price_takers_load, site.takers_load)
        + _cost(prices.price_weak, site.takers_weak)
        + _cost(prices.price_asleep, site.takers_asleep)
    )
    burden = (own + of_takers).astype(np.float32)
    return Wishes(may_fall=burden < 1.0, may_stay=burden <= prices.wake_burden, burden=burden)


def sleepers(site: Site, wishes: Wishes, limits: Limits) -> Bools:
    """The cells that are to sleep: at most `most_asleep`, never all, and none with a UE that nobody else covers."""
    rested = site.held_s >= limits.shortest_wake_s
    fall = ~site.asleep & wishes.may_fall & rested & (site.uncovered == 0)
    stay = site.asleep & (wishes.may_stay | (site.held_s < limits.shortest_sleep_s))
    wanted = fall | (stay & (site.held_s < LONGEST_SLEEP_S))
    order = np.lexsort((wishes.burden, ~site.asleep))  # those that sleep already come first
    most = max(min(limits.most_asleep, len(wanted) - 1), 0)
    chosen = np.zeros(len(wanted), np.bool_)
    chosen[order[wanted[order]][:most]] = True
    return chosen


def _known(values: F32) -> F32:
    """No value is beyond any bound."""
    return np.where(np.isnan(values), np.float32(np.inf), values)


def _cost(price: float, amount: F32) -> F32:
    """Nothing costs nothing where the price is 0, however much there is of it."""
    return price * amount if price else np.zeros_like(amount)
