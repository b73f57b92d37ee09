"""The `ran_sim` command: run and sweep scenarios, calibrate the simulator. It needs no SDK.

Exit codes: 0 done, 1 it ran and the answer is no, 2 wrong input, 130 interrupted. Every expected problem is one line on
standard error.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ran_sim.core.errors import InputError
from ran_sim.core.plugins import PluginError
from ran_sim.scenario import SCENARIO_FOLDER, Scenario, ScenarioError, load_scenario
from ran_sim.scenario.routes import MOST_S
from ran_sim.scenario.toml_text import to_toml
from ran_sim.tools.cli_values import (
    UsageError,
    check_target,
    make_folder,
    parse_pairs,
    parse_seeds,
    parse_settings,
    parse_values,
    require,
)
from ranloop_work import Shard, WorkError

if TYPE_CHECKING:
    from ran_sim.calibration.check import Section
    from ran_sim.engine import Engine
    from ran_sim.tools.sweep import Record

__all__ = ("app", "main")

SAVE_EVERY_S = 60.0  # clock time between two states that a run with --save keeps


app = typer.Typer(
    name="ran_sim",
    help="A calibrated, seeded simulator of a mobile network's downlink.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--override", metavar="FIELD=VALUE", help="A scenario field, e.g. load=1.2; repeatable."),
]


def _refuse_former_name(value: list[str] | None) -> None:
    if value:
        raise UsageError(
            f"--set {value[0]}: a scenario field is given by --override {value[0]}, as in `ranloop`; --set is for xApps"
        )


FormerName = Annotated[list[str] | None, typer.Option("--set", hidden=True, callback=_refuse_former_name)]


def _show_version(wanted: bool) -> None:
    if wanted:
        from ran_sim import __version__

        print(f"ran_sim {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The options of the command itself; the verbs have their own."""


def main() -> None:
    """Run the command line."""
    # The same as Ctrl-C: a sweep collects its finished runs on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        app()
    except (InputError, ScenarioError, PluginError, WorkError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


# -- run ----------------------------------------------------------------------------------------------------------


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario that ships, or a TOML file.")],
    seed: Annotated[
        int | None, typer.Option(help="Which of the networks that the scenario describes; default: 1.")
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration-s", help="RAN time to end at; default: the scenario's.")
    ] = None,
    settings: Settings = None,
    former_name: FormerName = None,
    save: Annotated[
        Path | None, typer.Option(help="Keep the state in this file, every minute and at the end.")
    ] = None,
    start: Annotated[
        bool, typer.Option("--continue", help="SCENARIO is a file of --save: run on from there.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Run a scenario and print its score."""
    _require_numba()
    from ran_sim.measure.score import score

    changes = parse_settings(settings or [])
    if save is not None:
        check_target("--save", save)
    engine = _continued(scenario, seed, changes) if start else _started(scenario, seed, changes)
    end_s = engine.scenario.run.duration_s if duration_s is None else duration_s
    if not 0 < end_s <= MOST_S:
        raise UsageError(f"--duration-s {end_s:g}: want a number above 0, at most {MOST_S:g}")
    end_slot = engine.scenario.slots(end_s * 1e3)
    if end_slot <= engine.slot:
        raise UsageError(f"--duration-s {end_s:g}: the run is at {engine.now_ns / 1e9:g} s already")
    if end_slot <= engine.warmup_slot and save is None:  # a state may well be that of a warmed-up network
        warmup_s = engine.warmup_slot * engine.slot_ns / 1e9
        remedy = "" if start else " or --override warmup_s=0"
        raise UsageError(
            f"{scenario}: ends at {end_s:g} s, within its warm-up of {warmup_s:g} s, before anything counts; "
            f"want a longer --duration-s{remedy}"
        )
    started = time.perf_counter()
    _run(engine, end_slot, save)
    wall_s = time.perf_counter() - started
    figures = score(engine)
    if json_output:
        facts = {
            "ran_time_s": engine.now_ns / 1e9,
            "score": _finite(figures),
            "provenance": engine.provenance(),
        }
        print(json.dumps(facts, indent=2))
    else:
        _print_facts({"ran time, s": engine.now_ns / 1e9, "wall time, s": wall_s, **figures})
    if save is not None:  # last, so that the results are there to read even if the file cannot be written
        engine.save(save)
    if engine.slot < end_slot:
        goes_on = f"; ran_sim run {save} --continue goes on" if save is not None else ""
        print(f"interrupted at {engine.now_ns / 1e9:g} of {end_s:g} s{goes_on}", file=sys.stderr)
        raise typer.Exit(130)


def _run(engine: Engine, end_slot: int, save: Path | None) -> None:
    """Run to `end_slot`, or to the radio tick that a signal asks to stop in; `save` gets a state every `SAVE_EVERY_S`."""
    tick_slots = engine.scenario.slots(engine.scenario.radio.tick_ms)
    saved_s = time.monotonic()
    with _signals() as came:
        while engine.slot < end_slot and not came:
            engine.run_until(min(end_slot, engine.slot + tick_slots))
            if save is not None and time.monotonic() - saved_s > SAVE_EVERY_S:
                try:
                    engine.save(save)
                except InputError as error:  # a full disk may have room again at the end
                    print(f"warning: {error}", file=sys.stderr)
                saved_s = time.monotonic()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Catches the first SIGINT or SIGTERM. The second one has its usual effect."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        restore()


def _loaded(name: str, changes: Mapping[str, object]) -> Scenario:
    """A scenario with other fields; what its faults say of measurements is checked too."""
    scenario = load_scenario(name).with_overrides(changes)
    if scenario.faults:
        _require_numba()
        from ran_sim.measure.counter_faults import check_measurements

        check_measurements(scenario)
    return scenario


def _started(name: str, seed: int | None, changes: Mapping[str, object]) -> Engine:
    from ran_sim.engine import Engine

    scenario = _loaded(name, changes)
    _tell_compilation()
    try:
        return Engine(scenario, 1 if seed is None else seed)
    except ValueError as error:  # a seed, or fields that do not fit together
        raise UsageError(f"{name}: {error}") from error


def _continued(path: str, seed: int | None, changes: Mapping[str, object]) -> Engine:
    from ran_sim.engine import Engine

    for option, given in (("--override", changes), ("--seed", seed is not None)):
        if given:
            raise UsageError(
                f"{option}: a run that is continued keeps its scenario and seed; leave one of --continue and {option} out"
            )
    _tell_compilation()
    return Engine.load(path)


def _require_numba() -> None:
    require("numba", "sim", "runs")


def _tell_compilation() -> None:
    from ran_sim.engine.first_use import compile_notice

    if notice := compile_notice():
        print(notice, file=sys.stderr)


# -- scenario -----------------------------------------------------------------------------------------------------


@app.command()
def scenario(
    name: Annotated[
        str, typer.Argument(help="Name of a scenario that ships, or a TOML file; none lists.")
    ] = "",
    settings: Settings = None,
    former_name: FormerName = None,
    json_output: Json = False,
) -> None:
    """Check a scenario and print it with all defaults filled in, or list those that ship."""
    if not name:
        shipped = sorted(file.stem for file in SCENARIO_FOLDER.glob("*.toml"))
        print(json.dumps(shipped) if json_output else "\n".join(shipped))
        return
    checked = _loaded(name, parse_settings(settings or []))
    print(
        checked.model_dump_json(indent=2) if json_output else to_toml(checked),
        end="\n" if json_output else "",
    )


# -- sweep --------------------------------------------------------------------------------------------------------


@app.command()
def sweep(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario that ships, or a TOML file.")],
    out: Annotated[
        Path, typer.Option(help="FILE.parquet, or a folder for results.parquet; runs are kept beside it.")
    ],
    seeds: Annotated[str, typer.Option(help="0..31, or 1,2,5; both ends are in.")] = "0..9",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--override",
            metavar="FIELD=A,B",
            help="Values of a scenario field; all combinations are run. Repeatable.",
        ),
    ] = None,
    former_name: FormerName = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0 takes one per core.", min=0)] = 0,
    on: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="A dask scheduler, whose workers do the runs."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N parts, as a job of a batch system; no table."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Do no run: the table of what shards did, if nothing is missing.")
    ] = False,
    per_session: Annotated[
        bool, typer.Option("--per-session", help="A second table with one row per UE session.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Run seeds times settings on several processes into one Parquet file; called again, it goes on where it stopped."""
    _require_numba()
    require("pyarrow", "sweep", "Parquet files")
    from ran_sim.tools import sweep as sweeps
    from ran_sim.tools import sweep_tables

    if shard and merge:
        raise UsageError("--shard does a part and --merge collects the parts; leave one of them out")
    part = Shard.parse(shard) if shard else None
    base = _loaded(scenario, {})
    choices = {name: parse_values(name, text) for name, text in parse_pairs(settings or []).items()}
    runs = sweeps.plan(base, parse_seeds(seeds), choices)
    results = out if out.suffix == ".parquet" else out / "results.parquet"
    folder = results.with_suffix(".runs")
    sessions = results.with_name(f"{results.stem}.sessions.parquet")
    make_folder(results.parent)
    check_target("--out", results)
    _tell_compilation()
    with _progress() as shown:
        job = shown.add_task("runs", total=len(part.of(runs) if part else runs))
        try:
            records = sweeps.sweep(
                base,
                runs,
                folder,
                where=sweeps.Where(jobs=jobs or len(os.sched_getaffinity(0)), on=on, shard=part, merge=merge),
                per_session=per_session,
                on_done=lambda _record, _known: shown.advance(job),
                collect=None if part else lambda done: sweep_tables.write_results(results, done, base),
            )
        except KeyboardInterrupt:
            print(f"interrupted; {folder} keeps the finished runs, the same call goes on", file=sys.stderr)
            raise typer.Exit(130) from None
    if part:
        print(
            json.dumps({"runs": len(records), "files": []}, indent=2)
            if json_output
            else f"shard {part}: {len(records)} of {len(runs)} runs are in {folder}; --merge makes the table of all shards"
        )
        return
    if per_session:
        sweep_tables.write_sessions(sessions, records, runs, folder, base)
    files = [str(results), *([str(sessions)] if per_session else [])]
    if json_output:
        print(json.dumps({"runs": len(records), "files": files}, indent=2))
        return
    _print_means(records)
    print(f"{len(records)} runs in {', '.join(files)}")


def _progress() -> Progress:
    """A bar on standard error that goes when it is done."""
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _print_means(records: Sequence[Record]) -> None:
    """Mean over seeds of the main figures, a row per combination of settings."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        label = ", ".join(f"{name}={value}" for name, value in record.settings.items()) or "as it is"
        groups.setdefault(label, []).append(record)
    table = Table(box=None, pad_edge=False)
    table.add_column("settings")
    figures = ("satisfied_pct", "best_effort_mbps", "delivered_mbps", "prb_use_pct")
    for heading in ("seeds", *figures):
        table.add_column(heading, justify="right")
    for label, group in groups.items():
        known = [[value for r in group if (value := r.score.get(name)) is not None] for name in figures]
        means = [f"{sum(values) / len(values):.2f}" if values else "none" for values in known]
        table.add_row(escape(label), str(len(group)), *means)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


# -- calibrate ----------------------------------------------------------------------------------------------------


@app.command()
def calibrate(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer draws: a look, not the report.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="A subject; repeatable.", metavar="NAME")] = None,
    seed: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Of all draws; a page is written with 1.")
    ] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for report.md and its pictures.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="A page such as docs/calibration.md; pictures go into a folder beside it."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Hold the simulator against closed forms, specifications and published figures."""
    _require_numba()
    from ran_sim.calibration import report

    known = report.subjects()
    if unknown := sorted(set(only or []) - set(known)):
        raise UsageError(f"--only {unknown[0]}: want one of {', '.join(known)}")
    pages = [(page, folder) for page, folder in _pages(out, write)]
    command = " ".join(
        [
            "ran_sim calibrate",
            *(f"--only {name}" for name in only or []),
            *(["--quick"] if quick else []),
            *([f"--seed {seed}"] if seed != 1 else []),
        ]
    )
    if pages:
        require("matplotlib", "plot", "pictures")
    for page, folder in pages:
        make_folder(folder)
        check_target("--write" if page == write else "--out", page)
    _tell_compilation()
    console = Console(width=None if sys.stdout.isatty() else 160)
    sections: dict[str, Section] = {}
    for name in only or known:
        started = time.perf_counter()
        sections[name] = report.run_subject(name, quick=quick, seed=seed)
        if not json_output:
            _print_section(console, sections[name], time.perf_counter() - started)
    for page, folder in pages:
        try:
            report.write_report(sections, page, folder, command=command)
        except OSError as error:
            raise UsageError(f"{error.filename or page}: cannot be written ({error.strerror})") from error
    if json_output:
        print(json.dumps(report.as_json(sections), indent=2))
    else:
        console.print(report.verdict(list(sections.values())), highlight=False)
    raise typer.Exit(0 if report.all_as_told(sections.values()) else 1)


def _pages(out: Path | None, write: Path | None) -> Sequence[tuple[Path, Path]]:
    """Page and folder of pictures of each report to be written."""
    if write is not None and write.suffix != ".md":
        raise UsageError(f"--write {write}: want a file that ends in .md")
    return ([(out / "report.md", out)] if out else []) + ([(write, write.with_suffix(""))] if write else [])


def _print_section(console: Console, section: Section, wall_s: float) -> None:
    from ran_sim.calibration.report import fits_text, number_text, range_text

    table = Table(title=f"{section.title}, {wall_s:.0f} s", title_justify="left", box=None, pad_edge=False)
    for heading in ("figure", "measured", "wanted", "passes in", "unit", "fits", "source"):
        is_number = heading in ("measured", "wanted", "passes in")
        table.add_column(
            heading, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for check in section.checks:
        table.add_row(
            escape(check.what), number_text(check.measured), number_text(check.wanted), range_text(check),
            escape(check.unit), fits_text(check, "[bold red]no[/]"), escape(check.source),
        )  # fmt: skip
    if section.checks:
        console.print(table, highlight=False)
    else:
        console.print(f"{section.title}, {wall_s:.0f} s: nothing is checked", highlight=False)
    for paragraph in section.notes:
        console.print(paragraph, highlight=False, markup=False)
    for sentence in section.left_out:
        console.print(f"left out: {sentence}", highlight=False, markup=False)
    console.print()


# -- what people read -------------------------------------------------------------------------------------------


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _print_facts(facts: Mapping[str, float]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {'none' if math.isnan(value) else f'{value:.6g}'}")
