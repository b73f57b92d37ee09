"""Every acting xApp in trouble: whatever goes wrong with it or its reports, all settings are at their default in time.

`ranloop evaluate together` measures the same on larger networks, with what it costs: docs/together.md.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ranloop.conduct import Conduct, Terms
from ranloop.evaluate import Arm, Task, run_drop
from ranloop.evaluation import read_together
from ranloop.evaluation.joint import PROMISED_LEASES
from ranloop.evaluation.together import TOGETHER_FILE
from ranloop.node import Mishap
from ranloop.node.mishaps import KINDS, MishapKind

XAPPS = Path(__file__).parents[2] / "xapps"
# In this small world traffic_steering has nothing to steer; link_tuner may go on holding the node's own target. Their own tests try both.
ACTING = tuple(
    name
    for name in read_together(XAPPS / TOGETHER_FILE).xapps
    if name not in ("link_tuner", "traffic_steering")
)
BEGINS_S = 4.0
# One site with so little to do that cells may sleep, and a few calls beside.
SMALL = {
    "layout.sites": 1,
    "radio.k_interferers": 2,
    "radio.indoor_share": 0.0,
    "load_profile.points": [[0.0, 1.0]],
    "traffic.downloads.ues": 1,
    "traffic.film.ues": 1,
    "traffic.video-call.ues": 2,
    "traffic.video-call.idle_s": 0.0,
    "traffic.gaming.ues": 1,
    "traffic.voice.ues": 1,
    "run.warmup_s": BEGINS_S,
}


def conduct(xapp: str, kind: MishapKind | None) -> Conduct:
    """What the xApp does from `BEGINS_S` on: until twice the lease of all that it may hold is over."""
    mishap = Mishap(kind=kind, begins_s=BEGINS_S) if kind else None
    task = Task(
        arm=Arm(name=xapp, xapps=(XAPPS / xapp,), mishap=mishap),
        seed=3,
        node="sim:district-day",
        overrides={**SMALL, "run.duration_s": BEGINS_S + (7.0 if kind else 0.5)},
        observe=Terms(since_s=BEGINS_S, reversal_s=5.0),
    )
    found = run_drop(task).conduct
    assert found is not None
    return found


@pytest.mark.parametrize("xapp", ACTING)
def test_an_xapp_that_is_well_holds_settings(xapp: str) -> None:
    found = conduct(xapp, None)
    assert found.n_away > 0
    assert found.back_s == math.inf


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in PROMISED_LEASES])
@pytest.mark.parametrize("xapp", ACTING)
def test_in_trouble_all_settings_are_at_their_default_in_time(xapp: str, kind: MishapKind) -> None:
    found = conduct(xapp, kind)
    assert found.n_away > 0
    assert 0.0 < found.back_s <= PROMISED_LEASES[kind] * found.lease_s
