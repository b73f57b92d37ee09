"""`ranloop.simulate`: a run in one call, and its tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import ranloop
from ranloop import Report, SetUeWeight, XApp
from ranloop.errors import LockstepError, ManifestError, NodeError, RanloopError
from ranloop.notebook import Run, simulate
from tests.builders import write_xapp


def an_app() -> XApp:
    app = XApp()

    @app.on_report("CQI")
    def hold(report: Report) -> SetUeWeight:
        return SetUeWeight(ue=report.ue[:2], weight=app.settings["weight"])

    return app


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(
        "one-cell",
        xapps=[an_app()],
        seed=1,
        duration_s=0.5,
        warmup_s=0.1,
        watch=["ue"],
        settings={"app": {"weight": 3.0}},
    )


def test_reports_are_a_table_with_a_row_per_target_and_report(run: Run) -> None:
    ue = run.reports("ue")
    assert sorted(ue["time_s"].unique()) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert not ue.duplicated(["node", "ue", "time_s"]).any()
    offered = set(run.catalogues[0].measurements["ue"])
    assert offered <= set(ue.columns)  # though the app reads the CQI alone
    assert ue.attrs["units"]["DRB.UEThpDl"] == "kbit/s"


def test_each_action_has_a_row_per_target_and_its_result_has_a_cause(run: Run) -> None:
    actions, results = run.actions, run.results
    assert set(actions["action"]) == {"SetUeWeight"}
    assert set(actions["weight"]) == {3.0}
    wanted, answered = (set(zip(t["id"], t["ue"], strict=True)) for t in (actions, results))
    assert wanted == answered
    assert results["status"].value_counts().to_dict() == {
        word: n for name, n in run.outcomes.items() for word in [name.split("/")[0]]
    }
    assert set(results.loc[results["status"] == "applied", "weight"]) == {3.0}


def test_settings_change_while_it_runs() -> None:
    run = simulate(
        "one-cell",
        xapps=[an_app()],
        duration_s=0.3,
        settings={"app": {"weight": 3.0}},
        settings_at_s={0.2: {"app": {"weight": 5.0}}},
    )
    actions = run.actions
    assert set(actions.loc[actions["time_s"] < 0.2, "weight"]) == {3.0}
    assert set(actions.loc[actions["time_s"] >= 0.2, "weight"]) == {5.0}


def test_the_score_of_the_world_is_there(run: Run) -> None:
    assert run.score["delivered_mbps"] > 0


def test_what_is_watched_changes_nothing_in_the_network(run: Run) -> None:
    alone = simulate(
        "one-cell",
        xapps=[an_app()],
        seed=1,
        duration_s=0.5,
        warmup_s=0.1,
        watch=[],
        settings={"app": {"weight": 3.0}},
    )
    assert alone.score == pytest.approx(run.score, rel=0, nan_ok=True)
    assert alone.outcomes == run.outcomes
    assert list(alone.reports("ue").columns)[-1] == "CQI"


def test_an_object_may_run_twice(run: Run) -> None:
    app = an_app()
    first, second = (
        simulate("one-cell", xapps=[app], duration_s=0.3, watch=[], settings={"app": {"weight": 2}})
        for _ in range(2)
    )
    assert first.trace_hash == second.trace_hash


def test_a_folder_and_an_object_run_side_by_side(tmp_path: Path) -> None:
    folder = write_xapp(
        tmp_path / "tally",
        app="from ranloop import XApp\napp = XApp()\n@app.summary\ndef tell():\n    return {'told': 1}\n",
        text='name = "tally"\nversion = "1"\nsummary = "Tells."\n',
    )
    run = simulate(
        "one-cell", xapps=[an_app(), folder, XApp()], duration_s=0.2, settings={"app": {"weight": 2.0}}
    )
    assert run.summaries == {"app": {}, "tally": {"told": 1}, "app-2": {}}


def test_scenario_fields_are_keywords() -> None:
    few, many = (
        simulate("one-cell", duration_s=0.2, warmup_s=0, load=load, watch=["ue"]) for load in (0.2, 1.0)
    )
    assert few.score["delivered_mbps"] != many.score["delivered_mbps"]


def test_without_pandas_the_tables_are_arrow_with_units(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = run.reports("ue")
    assert not isinstance(table, pd.DataFrame)
    assert table.schema.field("DRB.UEThpDl").metadata == {b"unit": b"kbit/s"}


def test_a_run_without_actions_has_empty_tables() -> None:
    run = simulate("one-cell", duration_s=0.1)
    assert len(run.actions) == len(run.results) == 0


def test_a_plot_has_the_unit_on_its_axis(run: Run) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = run.plot("DRB.UEThpDl")
    assert axes.get_ylabel() == "DRB.UEThpDl, kbit/s"
    pyplot.close("all")


def test_the_front_door_has_it_and_knows_no_other_name() -> None:
    assert ranloop.simulate is simulate
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        ranloop.simulat  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"node": "one-sell"}, "one-cell"),
        ({"watch": ["user"]}, "unknown level 'user'"),
        ({"every_ms": 7}, "they report every 100, 1000 ms"),
        ({"xapps": [3]}, "int is no xApp; want a folder, or an XApp object"),
        ({"lode": 1.0}, "load"),
        ({"settings": {"other": {"a": 1}}}, "settings for other, which does not run here"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(RanloopError, match=text) as told:
        simulate(**{"node": "one-cell", "duration_s": 0.1, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_a_run_that_ends_before_anything_counts_has_no_score_but_a_reason() -> None:
    short = simulate("one-cell", duration_s=0.2, watch=["cell"])
    assert len(short.reports("cell")) == 2
    with pytest.raises(NodeError, match=r"0\.2 s are within the warm-up of 2 s"):
        short.score["satisfied"]


@pytest.mark.parametrize("duration_s", [0, -1, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(duration_s: float) -> None:
    with pytest.raises(NodeError, match="want seconds of RAN time above 0"):
        simulate("one-cell", duration_s=duration_s)


def test_reports_that_were_not_kept_are_asked_for_with_what_there_is(run: Run) -> None:
    with pytest.raises(NodeError, match=r"none were kept; there are: ue every 100 ms; .*watch=\['cell'\]"):
        run.reports("cell")


def test_an_app_that_reads_what_no_node_offers_is_one_line() -> None:
    app = XApp()
    app.on_report("CQI", every_ms=50)(lambda report: None)
    with pytest.raises(NodeError, match="app reads ue reports every 50 ms, but site0 reports every 100"):
        simulate("one-cell", xapps=[app], duration_s=0.1)


def test_a_model_without_a_folder_is_one_line() -> None:
    app = XApp()
    app.model("rate")
    with pytest.raises(ManifestError, match=r"give models=\{'app': \{'rate': FOLDER\}\}"):
        simulate("one-cell", xapps=[app], duration_s=0.1)


def test_a_handler_that_raises_is_told_with_the_line_of_the_cell() -> None:
    app = XApp()
    names = {"app": app}
    exec(compile("@app.on_report('CQI')\ndef fail(report):\n    return 1 / 0\n", "cell 5", "exec"), names)  # noqa: S102 as a notebook does
    with pytest.raises(LockstepError, match=r'"cell 5", line 3, in fail'):
        simulate("one-cell", xapps=[app], duration_s=0.1)
