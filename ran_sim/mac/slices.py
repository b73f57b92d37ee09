"""Slices: each slice's share of a cell's PRBs, TS 28.541 4.3.36 RRMPolicyRatio. Quotas first, users second.

The dedicated share is never lent, the minimum is guaranteed when needed and lent when idle, the maximum is a cap. An RBG
holds up to 16 PRBs, so no slot can meet a quota exactly; accounts in PRBs carry the remainder to the next slot:

- allowed: filled by max, drained by all that the slice uses. It bounds the cap.
- own and, one per cell, pool: filled by dedicated, and by what no slice has dedicated; a slice drains its own first.
  A slice that finds both too small gets no RBG, however many are idle.
- owed: filled by min, drained by all that the slice uses. While the free RBGs are no more than what slices with data are
  owed, those come first. Without data nothing stays owed; with data, but too few DCIs, up to `OWED_SLOTS` are.

At most one RBG of an unused share is carried over. In any number of slots a slice therefore gets at most its cap plus one RBG,
all others together get at most the share that it has not dedicated plus one RBG, and a slice with data gets at least its
minimum less one RBG.
Retransmissions are charged to the accounts like new data. They need as many RBGs as before and may overdraw an account
that is full for the slot, or a block from before a cut of the quota would never fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I32, I64, U8
from ran_sim.scenario import Scenario

MIN: Final = 0  # last axis of `quota`
MAX: Final = 1
DEDICATED: Final = 2
ALLOWED: Final = 0  # last axis of `account`
OWED: Final = 1
OWN: Final = 2
OWED_SLOTS: Final = 20.0  # of the minimum share
_ROUNDING: Final = 1e-6  # PRBs
PCT_TOLERANCE: Final = 1e-3  # settings come as float32: three minima of 33.3333 % must fit


class Slices(NamedTuple):
    """Quotas and accounts."""

    n_prb: float  # of a cell
    rbg_prb: float  # of an RBG
    of_class: I32  # [n_class]
    quota: F64  # [n_cell, n_slice, 3] minimum, maximum and dedicated share of the cell's PRBs, 0..1
    limited: U8  # [n_cell] 1 where a quota limits a slice; other cells keep no accounts
    account: F64  # [n_cell, n_slice, 3] allowed, owed and own, PRBs
    pool: F64  # [n_cell] PRBs
    # scratch of one cell and slot, [n_slice]
    need: F64  # PRBs owed that no chosen UE stands for yet
    dci: I64  # UEs that may still be chosen before other slices have had their part of the DCIs
    waits: U8  # 1 if a UE of the slice could be served


def init_slices(scenario: Scenario) -> Slices:
    """The scenario's quotas in every cell, empty accounts."""
    names, n_cell = scenario.slice_names, scenario.n_cell
    quota = np.zeros((n_cell, len(names), 3))
    quota[:, :, MAX] = 1.0
    for name, pct in scenario.slices.items():
        quota[:, names.index(name)] = np.array([pct.min_pct, pct.max_pct, pct.dedicated_pct]) / 100.0
    slices = Slices(
        n_prb=float(scenario.carrier.bandwidth_prb),
        rbg_prb=float(scenario.rbg_prb),
        of_class=np.array([names.index(traffic.slice) for traffic in scenario.traffic], np.int32),
        quota=quota,
        limited=np.zeros(n_cell, np.uint8),
        account=np.zeros((n_cell, len(names), 3)),
        pool=np.zeros(n_cell),
        need=np.zeros(len(names)),
        dci=np.zeros(len(names), np.int64),
        waits=np.zeros(len(names), np.uint8),
    )
    for cell in range(n_cell):
        slices.limited[cell] = _says_something(quota[cell])
    return slices


def _says_something(quota: F64) -> bool:
    return bool((quota != (0.0, 1.0, 0.0)).any())


def set_quota(
    slices: Slices,
    cell: int,
    rows: Sequence[int],
    min_pct: Sequence[float],
    max_pct: Sequence[float],
    dedicated_pct: Sequence[float],
) -> None:
    """Replace the quotas of some slices of a cell all at once, or of none.

    Raises:
        ValueError: a row that contradicts itself, or minima of the cell that would add up to more than 100 %.
    """
    asked = np.array([min_pct, max_pct, dedicated_pct], np.float64).T  # [n, 3]
    for row, (low, high, own) in zip(rows, asked.tolist(), strict=True):
        if not 0.0 <= own <= low <= high <= 100.0:
            raise ValueError(
                f"slice {row}: got dedicated {own:g}, min {low:g}, max {high:g} %, "
                "want 0 <= dedicated <= min <= max <= 100"
            )
    if len(set(rows)) < len(rows):
        raise ValueError(f"slices {list(rows)}: want each once")
    quota = slices.quota[cell].copy()
    quota[list(rows)] = asked / 100.0
    total_pct = 100.0 * quota[:, MIN].sum()
    if total_pct > 100.0 + PCT_TOLERANCE:
        raise ValueError(f"cell {cell}: got minima that add up to {total_pct:g} %, want at most 100 %")
    slices.quota[cell] = quota
    slices.limited[cell] = _says_something(quota)


@bare_kernel
def _filled(slices: Slices, account: float, share: float) -> float:
    """An account of `share` at the start of a slot; of what was left one RBG stays, of a share of 0 nothing."""
    return min(account, slices.rbg_prb if share > 0.0 else 0.0) + share * slices.n_prb


@bare_kernel
def _shared(slices: Slices, cell: int) -> float:
    """Share of the cell's PRBs that no slice has dedicated."""
    shared = 1.0
    for s in range(slices.quota.shape[1]):
        shared -= slices.quota[cell, s, DEDICATED]
    return max(shared, 0.0)


@bare_kernel
def fill_accounts(slices: Slices, cell: int) -> None:
    """Start a slot of a limited cell; no slice is known to wait yet."""
    quota, account = slices.quota[cell], slices.account[cell]
    for s in range(quota.shape[0]):
        guaranteed = quota[s, MIN] * slices.n_prb
        account[s, ALLOWED] = _filled(slices, account[s, ALLOWED], quota[s, MAX])
        account[s, OWN] = _filled(slices, account[s, OWN], quota[s, DEDICATED])
        account[s, OWED] = min(max(account[s, OWED], -slices.rbg_prb) + guaranteed, OWED_SLOTS * guaranteed)
        slices.waits[s] = 0
    slices.pool[cell] = _filled(slices, slices.pool[cell], _shared(slices, cell))


@bare_kernel
def forgive_idle(slices: Slices, cell: int) -> None:
    """A slice without data is owed nothing: its minimum was lent."""
    for s in range(slices.waits.shape[0]):
        if slices.waits[s] == 0:
            slices.account[cell, s, OWED] = min(slices.account[cell, s, OWED], 0.0)


@bare_kernel
def may_take(slices: Slices, cell: int, s: int, n_prb: float) -> bool:
    """Whether slice `s` may use `n_prb` more PRBs in this slot."""
    account = slices.account[cell, s]
    least = n_prb - _ROUNDING
    return bool(account[ALLOWED] >= least and max(account[OWN], 0.0) + slices.pool[cell] >= least)


@bare_kernel
def may_resend(slices: Slices, cell: int, s: int, n_prb: float) -> bool:
    """Whether slice `s` may use `n_prb` PRBs at once for a retransmission: as new data, or from full accounts."""
    quota = slices.quota[cell, s]
    most = min(quota[MAX], _shared(slices, cell) + quota[DEDICATED]) * slices.n_prb
    return bool(most > 0.0 and may_take(slices, cell, s, min(n_prb, most)))


@bare_kernel
def charge(slices: Slices, cell: int, s: int, n_prb: float) -> None:
    """Slice `s` uses `n_prb` PRBs."""
    account = slices.account[cell, s]
    account[ALLOWED] -= n_prb
    account[OWED] -= n_prb
    own = min(max(account[OWN], 0.0), n_prb)
    account[OWN] -= own
    slices.pool[cell] -= n_prb - own


@bare_kernel
def owed_prb(slices: Slices, cell: int) -> float:
    """PRBs owed to the slices that wait."""
    total = 0.0
    for s in range(slices.waits.shape[0]):
        if slices.waits[s] == 1:
            total += max(slices.account[cell, s, OWED], 0.0)
    return total


@bare_kernel
def begin_choice(slices: Slices, cell: int, most: int) -> None:
    """Set `need` to what each slice is owed, and `dci` to its part of `most` DCIs: as large as the part of the cell that they may use, at least 1."""
    for s in range(slices.need.shape[0]):
        account = slices.account[cell, s]
        slices.need[s] = account[OWED]
        usable_prb = min(account[ALLOWED], max(account[OWN], 0.0) + slices.pool[cell])
        slices.dci[s] = max(1, math.ceil(most * usable_prb / slices.n_prb - _ROUNDING))


@bare_kernel
def neediest(slices: Slices) -> int:
    """The waiting slice with the largest `need`, -1 if none needs anything."""
    top = -1
    for s in range(slices.need.shape[0]):
        if slices.waits[s] == 1 and slices.need[s] > 0.0 and (top < 0 or slices.need[s] > slices.need[top]):
            top = s
    return top
