"""What the pages of these tests show: a small network with places, reports and decisions that can be worked out."""

from __future__ import annotations

import numpy as np

from ranloop.guard import AuditRecord
from ranloop.page import History
from ranloop.testing.messages import make_report, make_result
from ranloop.vocabulary import SetUeWeight
from ranloop.wire.messages import ActionBatch, Catalogue, Cause, CellPlace, Report, Status

S = 1_000_000_000


def catalogue(node: str = "site0", *, cells: int = 3, first: int = 0, x_m: float = 0.0) -> Catalogue:
    """A site with sectors of 65 degrees at 30, 150 and 270."""
    ids = range(first, first + cells)
    return Catalogue(
        node=node,
        measurements={
            "ue": ("DRB.UEThpDl", "CQI", "X.UE.PosX", "X.UE.PosY"),
            "cell": ("RRU.PrbTotDl", "DRB.UEThpDl"),
            "qos_flow": ("X.DRB.BudgetMissRateDl",),
        },
        actions=("SetUeWeight",),
        periods_ms=(100, 1000),
        cells={cell: f"{node}/{cell - first}" for cell in ids},
        geometry={
            cell: CellPlace(
                site=node, x_m=x_m, y_m=0.0, azimuth_deg=30.0 + 120.0 * (cell - first), beam_width_deg=65.0
            )
            for cell in ids
        },
    )


def ues(
    seq: int, *, node: str = "site0", n: int = 6, first_cell: int = 0, first_ue: int = 0, x_m: float = 0.0
) -> Report:
    """UEs on a circle of 100 m around the site; UE k has k + 1 Mbit/s."""
    ids = np.arange(first_ue, first_ue + n)
    angle = np.deg2rad(30.0 + 360.0 * np.arange(n) / n)
    return make_report(
        {
            "DRB.UEThpDl": 1000.0 * (ids + 1),
            "CQI": np.full(n, 7.0),
            "X.UE.PosX": x_m + 100.0 * np.cos(angle),
            "X.UE.PosY": 100.0 * np.sin(angle),
        },
        ids={"ue": ids, "cell": first_cell + (np.arange(n) * 3 // n)},
        node=node,
        seq=seq,
    )


def cells(seq: int, *, node: str = "site0", first: int = 0, n: int = 3) -> Report:
    """Cell k has 10 (k + 1) percent of its PRBs in use, and one percent more in each period."""
    ids = np.arange(first, first + n)
    load = np.minimum(10.0 * (ids % 3 + 1) + seq % 60, 100.0)
    columns = {"RRU.PrbTotDl": load, "DRB.UEThpDl": 1000.0 * load}
    return make_report(columns, level="cell", ids={"cell": ids}, node=node, seq=seq)


def flows(seq: int, *, node: str = "site0") -> Report:
    """One flow of 5QI 1 and one of 5QI 2, of which a fifth of the packets is late."""
    return make_report(
        {"X.DRB.BudgetMissRateDl": [0.0, 0.2]}, level="qos_flow", ids={"five_qi": [1, 2]}, node=node, seq=seq
    )


def decision(
    t_s: float,
    *,
    ue: int,
    weight: float = 4.0,
    node: str = "site0",
    xapp: str = "qos",
    refused: str = "",
    number: int = 0,
) -> AuditRecord:
    """A batch about one UE, applied, or refused for its range with this text."""
    action = SetUeWeight(ue=[ue], weight=[weight])
    batch = ActionBatch(
        id=f"{xapp}-{node}-{number or round(1000 * t_s)}",
        xapp=xapp,
        node=node,
        seq=number,
        action=action,
        valid_until_ns=round((t_s + 1) * S),
        lease_ms=300,
        models=("flow@0a1b2c3d4e5f",),
        report_seq=3,
    )
    status, cause = (Status.REFUSED, Cause.RANGE) if refused else (Status.APPLIED, Cause.NONE)
    result = make_result(action, status, cause, refused, id=batch.id, xapp=xapp, node=node)
    return AuditRecord(
        event="result", ran_time_ns=round(t_s * S), node=node, xapp=xapp, batch=batch, result=result
    )


def fill(history: History, periods: range = range(10), world: int = 0) -> History:
    """One site, some periods of all levels, and two decisions."""
    history.meet([catalogue()], world)
    for seq in periods:
        for report in (ues(seq), cells(seq), flows(seq)):
            history.take(report, world)
    history.take(decision(0.35, ue=2), world)
    history.take(
        decision(0.65, ue=4, weight=200.0, refused="weight 200; SetUeWeight takes 0.01 to 100"), world
    )
    return history
