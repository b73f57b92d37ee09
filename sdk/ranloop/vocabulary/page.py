"""The vocabulary as a page for people, in Markdown."""

from __future__ import annotations

from math import inf

from ranloop.vocabulary.actions import ACTIONS
from ranloop.vocabulary.measurements import MEASUREMENTS
from ranloop.vocabulary.model import ActionSpec, Measurement, Parameter

_HEAD = """\
# Vocabulary

Printed by `python -m ranloop.vocabulary`; change the tables in `sdk/ranloop/vocabulary`, not this page.

Everything that a RAN node reports and everything that it can be told has one entry here. A name without
a prefix is the specification's own, down to its misspellings; a name under `X.` is ranloop's, with its own
definition. *No value* is NaN in a report and never 0. Where the specification rounds to whole numbers
("integer"), a node may send the unrounded value and says so.

A row of level `ue_cell` is a UE and a cell that it measures: its serving cell, or one of its strongest neighbours.

Clauses are those of TS 28.552 Release 18 and of E2SM-KPM v3.00. A carrier says which open stack was seen to
send a name, and at which KPM level: ocudu (the srsRAN project), OpenAirInterface, ONOS ransim, ns-O-RAN.
Collection: CC counts over the period, SI samples a state within it, DER forms a mean or a ratio of the
period's events, GAUGE is the state at its end.
"""


def vocabulary_page() -> str:
    """Write the whole vocabulary as one Markdown page."""
    return "\n".join([_HEAD, "## Measurements", "", _overview(), *_measurements(), *_actions()])


def _overview() -> str:
    rows = ["| Measurement | Unit | Levels |", "|---|---|---|"]
    rows += [f"| `{m.name}` | {m.unit} | {', '.join(m.levels)} |" for m in MEASUREMENTS.values()]
    return "\n".join(rows) + "\n"


def _measurements() -> list[str]:
    return [_measurement(entry) for entry in MEASUREMENTS.values()]


def _measurement(entry: Measurement) -> str:
    lines = [
        f"### `{entry.name}`\n",
        f"{_sentence(entry.definition)}\n",
        f"- Unit: {entry.unit}; {range_text(entry.low, entry.high)}, {'integer' if entry.integer else 'real'}",
        f"- Collection: {entry.collection}",
        f"- Levels: {', '.join(entry.levels)}",
        f"- Source: {entry.clause}",
        f"- No value: {entry.no_value}",
        f"- Carrier: {entry.carrier}",
    ]
    if entry.aliases:
        lines.append(f"- Other spellings: {', '.join(f'`{alias}`' for alias in entry.aliases)}")
    return "\n".join(lines) + "\n"


def _actions() -> list[str]:
    head = (
        "## Actions\n\nA setting is held under a lease and reverts to its default; a one-shot happens once.\n"
    )
    return [head, *(_action(kind.spec) for kind in ACTIONS.values())]


def _action(spec: ActionSpec) -> str:
    lines = [
        f"### `{spec.name}`\n",
        f"{_sentence(spec.definition)}\n",
        f"- Target: {', '.join(spec.targets)}; {spec.kind}",
        f"- Carrier: {spec.carrier}\n",
        "| Parameter | Unit | Range | Default |",
        "|---|---|---|---|",
        *(
            f"| `{p.name}` | {p.unit} | {range_text(p.low, p.high)} | {_default(spec, p)} |"
            for p in spec.parameters
        ),
    ]
    return "\n".join(lines) + "\n"


def _default(spec: ActionSpec, parameter: Parameter) -> str:
    if parameter.default is not None:
        return _number(parameter.default)
    return "the node's configuration" if spec.kind == "setting" else "none"


def range_text(low: float, high: float) -> str:
    """A range of values, e.g. `0 to 2`, or `0 or more` without an end."""
    return f"{_number(low)} or more" if high == inf else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """Whole numbers whole: `:g` alone would write the greatest id as 1.67772e+07."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:g}"


def _sentence(definition: str) -> str:
    return definition[0].upper() + definition[1:] + "."
