"""A run in one call, and what happened in it as tables: for notebooks and scripts.

    run = simulate("seven-sites", xapps=[app], seed=1, load=1.0)
    run.reports("ue"), run.actions, run.results, run.score

Tables are pandas DataFrames, or Arrow tables where pandas is not installed. The unit of each column stands in
`table.attrs["units"]`, and in the metadata of the fields of an Arrow table.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from ranloop.embedded import Choices, EmbeddedRun, SettingsAt, run_embedded
from ranloop.errors import ManifestError, MissingExtraError, NodeError
from ranloop.guard import AuditRecord, Autonomy
from ranloop.node import open_world
from ranloop.node.outlets import Event
from ranloop.node.port import ScoredPort
from ranloop.node.recording import ReportRows, parquet
from ranloop.node.streams import watch_rights
from ranloop.vocabulary import ACTIONS, MEASUREMENTS, Level, MeasurementName, measurement
from ranloop.wire.messages import Catalogue, Report, Result, Status
from ranloop.xapp.app import XApp
from ranloop.xapp.loader import XAppPackage, load_package, package_of

if TYPE_CHECKING:
    import pandas

__all__ = ("Run", "simulate")

_Stream = tuple[str, str, int]
_COMMON_UNITS: Final = {"time_s": "s", "ran_time_ns": "ns"}


@dataclass(slots=True, eq=False)
class _Collector:
    """An outlet that keeps the reports, the judged actions and the results of a run."""

    rows: dict[_Stream, list[ReportRows]] = field(default_factory=lambda: defaultdict(list))
    judged: list[AuditRecord] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event:
            case Report():
                kept = self.rows[event.node, str(event.level), event.period_ms]
                if not kept or not kept[-1].add(event):
                    kept.append(ReportRows(event))
                    kept[-1].add(event)
            case Result():
                self.results.append(event)
            case AuditRecord() if event.batch is not None:
                self.judged.append(event)


class Run:
    """What a run came to.

    Attributes:
        summaries: xApp name -> the result of its `@app.summary` function.
        trace_hash: Equal for equal runs that kept the same streams.
        catalogues: What the nodes offer.
    """

    def __init__(
        self,
        run: EmbeddedRun,
        collected: _Collector,
        *,
        score: Mapping[str, float] | NodeError,
        catalogues: Sequence[Catalogue],
    ) -> None:
        self._score, self.catalogues = score, tuple(catalogues)
        self.summaries, self.trace_hash = run.xapps, run.summary.trace_hash
        self.outcomes = run.summary.outcomes
        self._collected = collected

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{name} {n}" for name, n in self.outcomes.items()) or "no action"
        streams = sorted({f"{level}/{ms} ms" for _, level, ms in self._collected.rows})
        return f"<Run of {len(self.catalogues)} nodes: reports {', '.join(streams) or 'none'}; targets: {outcomes}>"

    @property
    def score(self) -> Mapping[str, float]:
        """Key figures of the simulated network, warm-up removed; empty for a node without a score.

        Raises:
            NodeError: The run ended within its warm-up.
        """
        if isinstance(self._score, NodeError):
            raise self._score
        return self._score

    def reports(self, level: Level = "ue", every_ms: int | None = None) -> pandas.DataFrame:
        """All reports of one level, one row per target and report, of all nodes.

        Args:
            every_ms: The granularity period; may be left out if there is one.

        Raises:
            NodeError: No such report was kept.
            MissingExtraError: pyarrow is not installed.
        """
        kept = sorted({(at, ms) for _, at, ms in self._collected.rows})
        periods = [ms for at, ms in kept if at == level and every_ms in (None, ms)]
        if len(periods) != 1:
            there = ", ".join(f"{at} every {ms} ms" for at, ms in kept) or "none"
            wanted = level if every_ms is None else f"{level} every {every_ms} ms"
            raise NodeError(
                f"reports of level {wanted}: "
                + ("say which period with every_ms" if periods else "none were kept")
                + f"; there are: {there}"
                + ("" if periods else f"; simulate(…, watch=[{level!r}]) keeps them")
            )
        pa, _ = parquet()
        parts = [
            rows.table()
            for (_, at, ms), all_rows in sorted(self._collected.rows.items())
            if (at, ms) == (level, periods[0])
            for rows in all_rows
        ]
        table = pa.concat_tables(
            [part.replace_schema_metadata() for part in parts], promote_options="default"
        )
        time_s = pa.compute.divide(table["ran_time_ns"].cast(pa.float64()), 1e9)
        return _shown(
            table.add_column(0, "time_s", time_s), {name: m.unit for name, m in MEASUREMENTS.items()}
        )

    @cached_property
    def actions(self) -> pandas.DataFrame:
        """What the xApps asked for: one row per action and target, with the parameters that were wanted."""
        tables = [
            _rows(
                record.batch.action.spec.name,
                record.batch.action.targets(),
                record.batch.action.parameters(),
                {
                    "time_s": record.ran_time_ns / 1e9,
                    "node": record.node,
                    "xapp": record.xapp,
                    "id": record.batch.id,
                    "models": " ".join(record.batch.models),
                },
            )
            for record in self._collected.judged
            if record.batch is not None
        ]
        return _joined(tables)

    @cached_property
    def results(self) -> pandas.DataFrame:
        """The results: one row per action and target, with status, cause, text, and the values in force afterwards."""
        return _joined([_result_rows(result) for result in self._collected.results])

    def plot(self, name: MeasurementName, level: Level = "ue", every_ms: int | None = None) -> Any:
        """Draw one measurement over RAN time: the mean over targets, and the band from the 5th to the 95th percentile.

        Returns:
            The matplotlib axes.

        Raises:
            MissingExtraError: matplotlib or pandas is not installed.
        """
        pyplot = _extra("matplotlib.pyplot", "a plot")
        _extra("pandas", "a plot")
        entry = measurement(name)
        by_time = self.reports(level, every_ms).groupby("time_s")[entry.name]
        axes = pyplot.figure(figsize=(8, 3)).add_subplot()
        mean = by_time.mean()
        axes.fill_between(mean.index, by_time.quantile(0.05), by_time.quantile(0.95), alpha=0.2)
        axes.plot(mean.index, mean)
        axes.set(xlabel="RAN time, s", ylabel=f"{entry.name}, {entry.unit}")
        return axes


def simulate(
    node: str,
    *,
    xapps: Iterable[XApp | Path | str] = (),
    seed: int = 1,
    duration_s: float | None = None,
    watch: Sequence[Level] = ("ue", "cell"),
    every_ms: int = 100,
    settings: Mapping[str, Mapping[str, object]] | None = None,
    settings_at_s: SettingsAt | None = None,
    models: Mapping[str, Mapping[str, Path | str]] | None = None,
    autonomy: Autonomy | Mapping[str, Autonomy] = Autonomy.ACT,
    overrides: Mapping[str, object] | None = None,
    **fields: object,
) -> Run:
    """Run xApps on a node of this process, in lockstep, and keep what happens.

    Args:
        node: A scenario of the simulator, such as "seven-sites", or any address that `ranloop run --node` takes.
        xapps: Folders, or `XApp` objects that a notebook has made. An object may read what its handlers name, take all
            actions, and is called "app", the next one "app-2".
        duration_s: RAN time; default: the scenario's.
        watch: Levels whose reports are kept with all measurements, though no xApp may read them.
        every_ms: Granularity period of what is watched.
        settings: xApp name -> setting -> value.
        settings_at_s: RAN time in s -> the same, of settings that an operator changes then: {5.0: {"app": {"boost": 4.0}}}.
        models: xApp name -> model name -> folder of the model package.
        overrides: Scenario fields with a dot, such as {"scheduler.name": "pf"}; those without one may be given as
            keywords: `load=1.2`.

    Raises:
        RanloopError: What `ranloop run` would refuse, in one line.
    """
    if duration_s is not None and not 0 < duration_s < math.inf:
        raise NodeError(f"duration_s={duration_s!r}: want seconds of RAN time above 0")
    address = node if ":" in node else f"sim:{node}"
    given = {
        name: {key: Path(folder) for key, folder in chosen.items()} for name, chosen in (models or {}).items()
    }
    packages = _packages(xapps, settings or {}, given)
    with closing(open_world(address, seed=seed, overrides={**(overrides or {}), **fields})) as world:
        collected = _Collector()
        run = run_embedded(
            world,
            packages,
            Choices(
                settings=settings or {},
                settings_at_s=settings_at_s or {},
                models=given,
                autonomy=autonomy,
            ),
            until_ns=None if duration_s is None else round(duration_s * 1e9),
            outlets=[collected],
            watched=watch_rights(world.catalogues, watch, every_ms),
        )
        score: Mapping[str, float] | NodeError = {}
        if isinstance(world, ScoredPort):
            try:
                score = world.score()
            except NodeError as error:  # nothing counts yet; for whoever asks
                score = error
        return Run(run, collected, score=score, catalogues=world.catalogues)


def _packages(
    xapps: Iterable[XApp | Path | str],
    settings: Mapping[str, Mapping[str, object]],
    models: Mapping[str, Mapping[str, Path]],
) -> list[XAppPackage]:
    packages: list[XAppPackage] = []
    n_objects = 0
    for xapp in xapps:
        if isinstance(xapp, XApp):
            n_objects += 1
            name = "app" if n_objects == 1 else f"app-{n_objects}"
            packages.append(
                package_of(xapp, name, settings=settings.get(name, {}), models=models.get(name, {}))
            )
        elif isinstance(xapp, Path | str):
            packages.append(load_package(Path(xapp)))
        else:
            raise ManifestError(f"xapps: {type(xapp).__name__} is no xApp; want a folder, or an XApp object")
    return packages


def _result_rows(result: Result) -> dict[str, Any]:
    spec = ACTIONS[result.action].spec
    causes = np.array([str(cause) for cause, _ in result.causes], object)
    texts = np.array([text for _, text in result.causes], object)
    status = np.array([Status(value).name.lower() for value in result.status.tolist()], object)
    facts = {"time_s": result.ran_time_ns / 1e9, "node": result.node, "xapp": result.xapp, "id": result.id}
    fate = {"status": status, "cause": causes[result.cause], "text": texts[result.cause]}
    return _rows(spec.name, result.targets, result.applied, facts) | fate


def _rows(name: str, targets: Any, parameters: Any, facts: Mapping[str, object]) -> dict[str, Any]:
    """Columns of one message: a fact stands in each row."""
    spec, n = ACTIONS[name].spec, len(targets)
    columns: dict[str, Any] = {fact: np.full(n, value) for fact, value in facts.items()}
    columns["action"] = np.full(n, name)
    columns |= {target: targets[:, i] for i, target in enumerate(spec.targets)}
    return columns | {parameter: parameters[:, i] for i, parameter in enumerate(spec.parameter_names)}


def _joined(messages: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Rows of messages one below the other; a column that a message does not have has no value there."""
    pa, _ = parquet()
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for message in messages:
        alike[tuple(message)].append(message)
    tables = [
        pa.table({name: np.concatenate([message[name] for message in same]) for name in names})
        for names, same in alike.items()
    ]
    if not tables:
        return _shown(pa.table({"time_s": pa.array([], pa.float64())}), {})
    units = {p.name: p.unit for action in ACTIONS.values() for p in action.spec.parameters}
    joined = pa.concat_tables(tables, promote_options="permissive")
    return _shown(joined.sort_by([("time_s", "ascending")]), units)


def _shown(table: Any, units: Mapping[str, str]) -> pandas.DataFrame:
    """A DataFrame if pandas is there, else the Arrow table; each with the units of its columns."""
    pa, _ = parquet()
    known = {name: unit for name in table.column_names if (unit := (_COMMON_UNITS | dict(units)).get(name))}
    fields = [f.with_metadata({"unit": known[f.name]}) if f.name in known else f for f in table.schema]
    table = table.cast(pa.schema(fields, metadata={"units": json.dumps(known)}))
    try:
        import pandas  # noqa: F401
    except ImportError:
        return cast("pandas.DataFrame", table)
    frame = table.to_pandas()
    frame.attrs["units"] = known
    return cast("pandas.DataFrame", frame)


def _extra(module: str, what: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, "notebook") from error
