"""Reports of a period, node by node: rows of `measure.tables`, measurements of `measure.kpm`.

Like those of real nodes, counters are rounded to the resolutions of TS 28.552, and what UEs measure of cells to the steps of
their measurement reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ran_sim.bridge.places import Places
from ran_sim.engine import Engine
from ran_sim.measure import kpm
from ran_sim.measure.counter_faults import CounterFaults
from ran_sim.measure.periods import Period
from ran_sim.measure.tables import Tables
from ranloop.errors import NodeError
from ranloop.vocabulary import ID_COLUMNS, Level, measurement
from ranloop.wire.messages import F32, Catalogue, Labels, Report

# Looked up on import, so that a name which the catalogue does not have cannot go unnoticed.
_INTEGER: Final = {name: measurement(name).integer for columns in kpm.LEVELS.values() for name in columns}


class ReportBuilder:
    """Builds the reports of one network.

    Args:
        engine: The network.
        tables: Its rows.
        places: Its sites.
        catalogues: By site.
        counter_faults: Of the scenario, on cells.
        rounding: Whether counters and measurement reports are rounded as TS 28.552 and TS 38.133 say.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        places: Places,
        catalogues: Sequence[Catalogue],
        counter_faults: CounterFaults,
        *,
        rounding: bool,
    ) -> None:
        self._slot_ns = engine.slot_ns
        self._tables, self._places, self._catalogues, self._rounding = tables, places, catalogues, rounding
        self._all_cells = dict(enumerate(places.cell_names))
        self._counter_faults = counter_faults
        self._known_labels: dict[
            tuple[int, Level], tuple[bytes, Labels]
        ] = {}  # (site, level) -> UE ids, names

    def reports(self, level: Level, period: Period, streams: Mapping[int, frozenset[str]]) -> list[Report]:
        """Reports of one level: columns are computed once for the whole network, nodes take their rows.

        Args:
            level: Of the rows.
            period: That the reports are about.
            streams: Site -> wanted measurements.

        Raises:
            NodeError: A measurement is wanted that the catalogue does not offer at this level.
        """
        columns = kpm.LEVELS[level]
        asked = frozenset[str]().union(*streams.values())
        names = tuple(name for name in columns if name in asked)
        if len(names) < len(asked):
            missing = ", ".join(sorted(asked - set(names)))
            raise NodeError(f"the simulator has no {missing} at level {level}")
        table = self._tables.table(level, period)
        n_ids = table.ids.shape[1]
        block = np.empty((len(table.ids), n_ids + len(names)), np.float32)
        block[:, :n_ids] = table.ids
        if "ue" in ID_COLUMNS[level]:
            block[:, 0] = self._places.dense(table.ids[:, 0])
        for i, name in enumerate(names):
            values = columns[name](table.rows)
            if level == "cell":
                values = self._counter_faults.reported(name, values, table.ids[:, 0], period)
            if self._rounding and level == "ue_cell":
                values = kpm.in_steps(name, values)
            elif self._rounding and _INTEGER[name]:
                values = kpm.rounded(name, values)
            block[:, n_ids + i] = values
        out = []
        for site, own in streams.items():
            rows, own_names = slice(table.start[site], table.start[site + 1]), names
            own_block = block[rows]
            if len(own) < len(names):
                keep = [i for i, name in enumerate(names) if name in own]
                own_names = tuple(names[i] for i in keep)
                own_block = own_block[:, [*range(n_ids), *(n_ids + i for i in keep)]]
            out.append(
                Report(
                    node=self._places.nodes[site],
                    level=level,
                    period_ms=period.period_ms,
                    seq=period.end.slot // period.slots - 1,
                    ran_time_ns=period.end.slot * self._slot_ns,
                    ids=ID_COLUMNS[level],
                    names=own_names,
                    block=own_block,
                    labels=self._labels(site, level, own_block),
                )
            )
        return out

    def _labels(self, site: int, level: Level, block: F32) -> Labels:
        """Names of the ids in a report; the same object until a UE comes or goes, by which the codec knows them."""
        with_ues = "ue" in ID_COLUMNS[level]
        ues = block[:, 0].tobytes() if with_ues else b""
        known = self._known_labels.get((site, level))
        if known is None or known[0] != ues:
            catalogue = self._catalogues[site]
            names: dict[str, Mapping[int, str]] = {"cell": catalogue.cells}
            if with_ues:
                names["ue"] = {ue: f"ue-{ue:06d}" for ue in block[:, 0].astype(np.int64).tolist()}
            if "slice" in ID_COLUMNS[level]:
                names["slice"] = catalogue.slices
            if "measured_cell" in ID_COLUMNS[level]:
                names["measured_cell"] = self._all_cells
            known = self._known_labels[site, level] = ues, Labels(names)
        return known[1]
