"""Whether models add to the mixture: each log once with the forecasts of models among the experts, and once without.

    python -m xapps.throughput_forecaster.with_models --data DIR [--models FOLDER] [--days YYYY-MM-DD ...]

`--models` holds app_throughput_1s and app_throughput_5s, as `models.app_throughput.train` writes them; by default those that ship.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import numpy as np

from ranloop.inference import load_model
from ranloop.inference.model import share_features
from ranloop.node.replay import open_replay
from xapps.throughput_forecaster import policy
from xapps.throughput_forecaster.evaluate import TUNED_ON, Group
from xapps.throughput_forecaster.mixture import Mixture

NAMES = frozenset(
    {"X.UE.AppThpDl", "RSRP", "CQI", "X.UE.Snr", "X.UE.Speed", "X.UE.NrMode", "X.UE.Downloading"}
)


class WithModels(policy.Phone):
    """A phone that keeps, beside its mixtures, others with one more expert each."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[int, float] = {}  # of the model of each horizon
        self._more = {horizon: Mixture(policy.N_EXPERTS + 1) for horizon in policy.HORIZONS_S}
        self._open: dict[tuple[int, int], tuple[policy.F64, float]] = {}

    def observe_both(self, now: policy.Second) -> dict[int, tuple[float, float, float]]:
        """For each horizon the forecast of the mixture, of the one with the model, and of the model alone."""
        for horizon in policy.HORIZONS_S:
            past = self._open.pop((horizon, now.number), None)
            if past is not None and now.thp_kbps == now.thp_kbps:
                self._more[horizon].learn(*past, now.thp_kbps)
        found = {}
        for horizon, forecast in self.observe(now, policy.new_scores()).items():
            alone = max(0.0, now.thp_kbps + self.changes[horizon])
            experts = np.append(forecast.experts_kbps, alone)
            mixed, _ = self._more[horizon].mix(experts)
            self._open[horizon, now.number + horizon] = experts, mixed
            found[horizon] = forecast.kbps, mixed, alone
        return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--days", type=date.fromisoformat, nargs="+")
    given = parser.parse_args()
    world = open_replay(given.data)
    days = set(given.days or set(world.days.values()) - set(TUNED_ON))
    wanted = {(node, "ue", 1000): NAMES for node, day in world.days.items() if day in days}
    models = {h: load_model(given.models / f"app_throughput_{h}s") for h in policy.HORIZONS_S}
    share_features(models.values())
    phones: dict[str, WithModels] = {}
    made: dict[str, dict[int, list[tuple[int, float, float, float]]]] = {}
    truth: dict[tuple[str, int], float] = {}
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            changes = {h: float(model(report)[0]) for h, model in models.items()}
            (second,) = policy.Second.rows_of(report)
            phone = phones.setdefault(report.node, WithModels())
            phone.changes = changes
            if second.thp_kbps == second.thp_kbps:
                truth[report.node, second.number] = second.thp_kbps
            for h, kbps in phone.observe_both(second).items():
                made.setdefault(report.node, {}).setdefault(h, []).append((second.number + h, *kbps))
    for h in policy.HORIZONS_S:
        rows = []
        for node, of in made.items():
            errors = np.array(
                [np.abs(np.array(kbps) - truth[node, due]) for due, *kbps in of[h] if (node, due) in truth]
            )
            rows.append((world.days[node], len(errors), *errors.sum(axis=0)))
        days_, n, without, with_, alone = (list(column) for column in zip(*rows, strict=True))
        total = sum(n)
        found = Group(days_, np.array(n, float), np.array(with_), np.array(without)[:, None])
        change, low, high = found.gain_pct(0)
        print(
            f"{h} s: {len(n)} logs, {total} seconds; MAE in kbit/s: models alone {sum(alone) / total:.0f}, mixture without them "
            f"{sum(without) / total:.0f}, with them {sum(with_) / total:.0f}: {change:+.2f} [{low:+.2f}, {high:+.2f}] %"
        )


if __name__ == "__main__":
    main()
