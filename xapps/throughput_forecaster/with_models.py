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
from ranloop.node.replay import open_replay
from xapps.throughput_forecaster import policy
from xapps.throughput_forecaster.evaluate import TUNED_ON, Group, group
from xapps.throughput_forecaster.evaluate import Log, Followed
from xapps.throughput_forecaster.mixture import Mixture

NAMES = frozenset(
    {"X.UE.AppThpDl", "RSRP", "CQI", "X.UE.Snr", "X.UE.Speed", "X.UE.NrMode", "X.UE.Downloading"}
)


class WithModels(policy.Phone):
    def __init__(self, asleep: bool) -> None:
        super().__init__()
        self.changes: dict[int, float] = {}
        self.asleep = asleep
        if not asleep:
            self._mixtures = {horizon: Mixture(policy.N_EXPERTS + 1) for horizon in policy.HORIZONS_S}

    def _forecasts(self, now: policy.Second, elapsed_s: int) -> dict[int, policy.Forecast]:
        if self.asleep:
            return super()._forecasts(now, elapsed_s)
        plain = self._mixtures
        self._mixtures = {horizon: Mixture(policy.N_EXPERTS) for horizon in policy.HORIZONS_S}
        made = super()._forecasts(now, elapsed_s)
        self._mixtures = plain
        for horizon, forecast in made.items():
            experts = np.append(forecast.experts_kbps, max(0.0, now.thp_kbps + self.changes[horizon]))
            kbps, spread = plain[horizon].mix(experts)
            made[horizon] = policy.Forecast(
                experts, kbps, spread, self._intervals[horizon].around(kbps, spread), forecast.groups
            )
        return made


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
    phones: dict[str, list[WithModels]] = {}
    made: dict[str, dict[int, list[tuple[int, float, float, float]]]] = {}
    truth: dict[tuple[str, int], float] = {}
    while world.now_ns < world.end_ns:
        world.advance(min(world.next_report_ns(), world.end_ns))
        for report in world.reports(wanted):
            changes = {h: float(model(report)[0]) for h, model in models.items()}
            (second,) = policy.Second.rows_of(report)
            pair = phones.setdefault(report.node, [WithModels(True), WithModels(False)])
            pair[1].changes = changes
            forecasts = [phone.observe(second, policy.new_scores()) for phone in pair]
            if second.thp_kbps == second.thp_kbps:
                truth[report.node, second.number] = second.thp_kbps
            for h in forecasts[0]:
                alone = max(0.0, second.thp_kbps + changes[h])
                made.setdefault(report.node, {}).setdefault(h, []).append(
                    (second.number + h, forecasts[0][h].kbps, forecasts[1][h].kbps, alone)
                )
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
