"""Runs the subjects of the calibration and writes their results: a table, a page of Markdown, pictures.

A subject is a module of this package with a function `run(quick, seed) -> Section`; such a module is found by itself.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ran_sim import calibration
from ran_sim.calibration.check import Check, Plot, Section
from ran_sim.engine.provenance import platform_provenance

__all__ = ("all_as_told", "as_json", "draw", "markdown", "run_subject", "subjects", "verdict", "write_report")

_PICTURE_INCHES: Final = (6.4, 4.0)
_PICTURE_DPI: Final = 84
_LEGEND_INSIDE: Final = 4  # entries that fit beside the curves; more go below the picture
_LEGEND_COLUMNS: Final = 3


def subjects() -> tuple[str, ...]:
    """Names of all subjects, sorted."""
    modules = (info.name for info in pkgutil.iter_modules(calibration.__path__))
    return tuple(sorted(name for name in modules if hasattr(_module(name), "run")))


def run_subject(name: str, *, quick: bool = False, seed: int = 1) -> Section:
    """The result of one subject; `quick` takes less time and fewer draws, another `seed` has other draws."""
    section: Section = _module(name).run(quick, seed)
    return replace(section, quick=quick)


def _module(name: str) -> Any:
    return importlib.import_module(f"{calibration.__name__}.{name}")


def verdict(sections: Sequence[Section]) -> str:
    """The outcome in one sentence."""
    checks = [check for section in sections for check in section.checks]
    if not checks:
        return "Nothing was checked."
    parts = [f"{sum(check.passes for check in checks)} of {len(checks)} figures lie within their range"]
    for heading, names in (
        ("outside", [c.what for c in checks if not c.passes and not c.known_miss]),
        ("known to miss", [c.what for c in checks if not c.passes and c.known_miss]),
        ("inside, though said to miss", [c.what for c in checks if c.passes and c.known_miss]),
    ):
        if names:
            parts.append(f"{heading}: {', '.join(names)}")
    return f"{'; '.join(parts)}."


def all_as_told(sections: Iterable[Section]) -> bool:
    """Whether every figure lies within its range, except the known misses, which must lie outside."""
    return all(check.as_told for section in sections for check in section.checks)


def as_json(sections: Mapping[str, Section]) -> dict[str, Any]:
    """All checks, notes and omissions, for programs; a figure that is NaN or infinite is None."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "provenance": platform_provenance(),
        "subjects": {
            name: {
                "title": section.title,
                "checks": [
                    {
                        "what": check.what,
                        "unit": check.unit,
                        "measured": number(check.measured),
                        "wanted": number(check.wanted),
                        "low": number(check.low),
                        "high": number(check.high),
                        "source": check.source,
                        "passes": check.passes,
                        "known_miss": check.known_miss or None,
                    }
                    for check in section.checks
                ],
                "seeds": section.seeds,
                "notes": list(section.notes),
                "left_out": list(section.left_out),
            }
            for name, section in sections.items()
        },
    }


def markdown(sections: Mapping[str, Section], *, pictures: str, command: str = "ran_sim calibrate") -> str:
    """The report as a page.

    Args:
        sections: Results by subject.
        pictures: Where the pictures lie, as seen from the page, with a slash at its end unless it is beside them.
        command: The command that wrote the page.
    """
    origin = platform_provenance()
    lines = [
        "# Calibration",
        "",
        "This page compares the simulator with closed forms, tables of specifications and published calibrations.",
        (
            f"Written by `{command}`; ran_sim {origin['ran_sim']} ({origin['code']}), Python {origin['python']}, NumPy "
            f"{origin['numpy']}, numba {origin['numba']}, compiled for {origin['cpu']}."
        ),
        "",
        (
            "A figure *fits* if it lies in the range beside it. The range comes from the source or from the standard error of the "
            "random draws. A known miss gives its reason. A list under each table names what the model leaves out."
        ),
        "",
        verdict(list(sections.values())),
    ]
    for name, section in sections.items():
        lines += ["", f"## {section.title}"]
        facts = [
            f"`ran_sim calibrate --only {name}{' --quick' if section.quick else ''}`",
            *([f"seeds: {section.seeds}"] if section.seeds else []),
        ]
        lines += ["", f"{'; '.join(facts)}."]
        if section.checks:
            lines += ["", "| figure | measured | wanted | passes in | unit | fits | source |"]
            lines += ["|---|---:|---:|---:|---|---|---|"]
            lines += [_row(check) for check in section.checks]
        for plot in section.plots:
            lines += ["", f"![{plot.title}]({pictures}{_picture(name, plot)})"]
        for paragraph in section.notes:
            lines += ["", paragraph]
        if section.left_out:
            lines += ["", "Left out:", "", *(f"- {sentence}" for sentence in section.left_out)]
    return "\n".join(lines) + "\n"


def _row(check: Check) -> str:
    cells = (
        check.what,
        number_text(check.measured),
        number_text(check.wanted),
        range_text(check),
        check.unit,
        fits_text(check, "**no**"),
        check.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def number_text(value: float) -> str:
    """Four digits, with the minus sign U+2212 in place of a hyphen."""
    return "none" if math.isnan(value) else f"{value:.4g}".replace("-", "−")


def range_text(check: Check) -> str:
    """The range that passes."""
    if math.isinf(check.high):
        return f"≥ {number_text(check.low)}"
    if math.isinf(check.low):
        return f"≤ {number_text(check.high)}"
    return f"{number_text(check.low)} … {number_text(check.high)}"


def fits_text(check: Check, no: str) -> str:
    """Whether a figure fits; `no` is the text for a figure that should fit and does not."""
    if check.known_miss:
        return f"misses: {check.known_miss}" if not check.passes else f"{no}: it fits, though said to miss"
    return "yes" if check.passes else no


def _picture(subject: str, plot: Plot) -> str:
    return f"{subject.replace('_', '-')}-{plot.name.removeprefix(subject.replace('_', '-') + '-')}.png"


def write_report(
    sections: Mapping[str, Section], page: Path, pictures: Path, *, command: str = "ran_sim calibrate"
) -> None:
    """Write the page, and its pictures into the folder `pictures`, which is the page's own or one below it.

    The page names `command` as the command that wrote it.

    Raises:
        ImportError: matplotlib is missing.
        OSError: One of the files cannot be written.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    for name, section in sections.items():
        for plot in section.plots:
            draw(plot, pictures / _picture(name, plot))
    below = pictures.relative_to(page.parent).as_posix()
    text = markdown(sections, pictures="" if below == "." else f"{below}/", command=command)
    page.write_text(text, encoding="utf-8")


def draw(plot: Plot, file: Path) -> None:
    """One picture, PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=_PICTURE_INCHES, dpi=_PICTURE_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for series in plot.series:
        if series.upper is not None:
            axes.fill_between(series.x, series.y, series.upper, alpha=0.3, label=series.name, linewidth=0)
        elif series.style == "points":
            axes.plot(series.x, series.y, "o", markersize=4, label=series.name)
        else:
            axes.plot(series.x, series.y, linewidth=1.4, label=series.name)
    if plot.log_y:
        axes.set_yscale("log")
    axes.set_title(plot.title, fontsize="medium")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(alpha=0.3)
    if len(plot.series) > _LEGEND_INSIDE:
        figure.legend(fontsize="small", loc="outside lower center", ncols=_LEGEND_COLUMNS)
    elif len(plot.series) > 1:
        axes.legend(fontsize="small")
    # Without the version of matplotlib in it, the same data give the same file.
    figure.savefig(file, metadata={"Software": None})
