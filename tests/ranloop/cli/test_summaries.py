"""What an xApp says at the end never costs the rest of the result."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.cli.summaries import plain_summaries
from tests.builders import APP, write_xapp
from tests.command import Command

SAYS = "import numpy as np\n" + APP + "\n@app.summary\ndef say():\n    return "
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_numpy_values_are_numbers_and_what_is_no_number_is_null(ranloop: Command, tmp_path: Path) -> None:
    app = (
        SAYS
        + "{'n': np.int64(3), 'gain': np.float32(0.5), 'worst': float('nan'), 'by': np.array([[1.0, np.inf]])}"
    )
    folder = write_xapp(tmp_path / "x", app=app)
    outcome = ranloop("run", folder, "--node", "sim:one-cell", "--duration-s", "0.2", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["xapps"] == {
        "x": {"n": 3, "gain": 0.5, "worst": None, "by": [[1.0, None]]}
    }


@pytest.mark.parametrize("form", ["--json", "text"])
@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ("{'seen': [{1, 2}]}", "set as seen[0], which JSON does not have; want numbers, text, lists, dicts"),
        (
            "{'a': {'b': object()}}",
            "object as a.b, which JSON does not have; want numbers, text, lists, dicts",
        ),
        ("{'a': {(1, 2): 0}}", "the key (1, 2) in a, want text or a number"),
        ("None", "NoneType, want a dict"),
        ("[1]", "list, want a dict"),
    ],
)
def test_a_summary_that_json_does_not_have_is_one_line_after_the_rest(
    ranloop: Command, tmp_path: Path, told: str, complaint: str, form: str
) -> None:
    folder = write_xapp(tmp_path / "x", app=SAYS + told)
    command = ("run", folder, "--node", "sim:one-cell", "--duration-s", "0.2")
    outcome = ranloop(*command, *(["--json"] if form == "--json" else []))
    assert outcome.complaint == f"x: its @app.summary function returned {complaint}"
    if form == "--json":
        facts = json.loads(outcome.out)
        assert (facts["steps"], facts["xapps"]) == (2, {"x": None})
    else:
        assert "steps: 2\n" in outcome.out


def test_a_summary_that_json_does_not_have_leaves_the_others_alone() -> None:
    summaries, complaints = plain_summaries({"a": {"n": 1}, "b": {"n": 1j}, "c": MappingProxyType({2: (3,)})})
    assert summaries == {"a": {"n": 1}, "b": None, "c": {2: [3]}}
    assert len(complaints) == 1


def test_a_summary_that_contains_itself_is_complained_of() -> None:
    endless: list[object] = []
    endless.append(endless)
    summaries, complaints = plain_summaries({"x": {"a": endless}})
    assert (summaries, len(complaints)) == ({"x": None}, 1)
    assert "more than 64 levels deep" in complaints[0]


@given(st.dictionaries(st.text(), PLAIN))
def test_what_is_plain_stays_as_it_is(told: dict[str, object]) -> None:
    assert plain_summaries({"x": told}) == ({"x": told}, [])


@given(
    st.floats(width=16).flatmap(
        lambda x: st.sampled_from([np.float16(x), np.float32(x), np.float64(x), np.longdouble(x)])
    )
)
def test_every_real_number_is_json(value: np.floating) -> None:
    summaries, complaints = plain_summaries({"x": {"a": value}})
    assert json.loads(json.dumps(summaries, allow_nan=False)) == summaries
    assert summaries["x"]["a"] == (value if np.isfinite(value) else None)
    assert not complaints


@pytest.mark.parametrize("value", [np.complex128(1j), np.clongdouble(1j), np.datetime64("2026-01-01")])
def test_numpy_values_that_json_does_not_have_are_complained_of(value: np.generic) -> None:
    assert len(plain_summaries({"x": {"a": value}})[1]) == 1
