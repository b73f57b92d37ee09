"""Handover against closed forms and published trends.

`handover_place` has what UEs report and where a handover happens, `handover_rates` how often it happens and how often it fails.
"""

from __future__ import annotations

from ran_sim.calibration.check import Section
from ran_sim.calibration.handover_place import places, reports
from ran_sim.calibration.handover_rates import TREND_NAMES, causes, parameter_sets, trends


def run(quick: bool = False, seed: int = 1) -> Section:
    """All checks of handover; `quick` leaves out the trends."""
    checks, place = places(seed)
    checks += reports(seed)
    plots = [place]
    notes: tuple[str, ...] = ()
    if not quick:
        more_checks, more_plots = trends(seed)
        checks += more_checks
        plots += [*more_plots, parameter_sets(seed)]
        notes = causes(seed)
    return Section(
        title="Handover",
        checks=tuple(checks),
        plots=tuple(plots),
        seeds=str(seed),
        notes=notes,
        only_long=TREND_NAMES if quick else (),
        left_out=(
            (
                "How often handovers and links fail depends on the load more than on anything else. It is compared with another "
                "simulator's figures only, because no figure of a standard could be read."
            ),
            "Measurements and link monitoring see no fast fading. Uplink and random access never fail.",
        ),
    )
