"""A split: the head of the better model here, the tail above; planned by working out every cut at every tier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranloop.bus import Bus
from ranloop.errors import ManifestError, ModelError, PlacementError
from ranloop.inference import load_model, load_trust
from ranloop.inference.signature import make_key
from ranloop.placement import BusTiers, InferenceHost, Placement, Question, Tiers, VirtualTiers, place
from ranloop.placement.split import CutModel, open_cut_model
from ranloop.placement.split_plan import plan_split
from ranloop.wire.messages import FOR_EVER_NS
from ranloop.xapp.loader import load_package
from tests.command import Command
from tests.ranloop.placement.graphs import GRAPHS, MEASURED, card_of, f32
from tests.ranloop.placement.places import MS, Loop, down, seen, tiers
from tests.ranloop.placement.splits import SLOW, write_chain, write_split


@pytest.fixture(scope="session")
def raw_models(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """`small` as ever, and as `large` a graph whose input is raw and whose inside may leave the site."""
    folder = tmp_path_factory.mktemp("raw")
    (folder / "small").symlink_to(models / "small")
    write_chain(folder / "large")
    return folder


@pytest.fixture
def xapp(tmp_path: Path, raw_models: Path) -> Path:
    return write_split(tmp_path / "placed", raw_models)


def test_the_tail_answers_what_the_whole_model_would_and_the_head_takes_its_time_here(xapp: Path) -> None:
    """Two rows: the head takes 20 ms here, then 20 ms to regional and back. Two values of 4 bytes a row, and the header's 256."""
    answer = Loop(xapp, VirtualTiers(tiers(edge=SLOW))).step(0)
    assert seen(answer) == (40.0, "better", "regional", "", [2.0, 2.0])
    (how,) = answer.batches[0].inferences
    assert how.sent_bytes == {"per-ue": 256 + 2 * 2 * 4}
    assert how.model.startswith("chain@")
    assert "~" in how.model


def test_the_head_s_energy_is_counted_beside_that_of_way_and_tail(xapp: Path) -> None:
    """Of two rows: the head 4 and the tail 48 multiply-accumulates at 10^6 J per 10^9; 272 bytes at 5 J per 10^6."""
    priced = {"joules_per_gmac": 1e6}
    reach = VirtualTiers(tiers(edge={**SLOW, **priced}, regional={**priced, "joules_per_mb": 5.0}))
    (how,) = Loop(xapp, reach).step(0).batches[0].inferences
    assert how.joules == pytest.approx(4e-3 + 48e-3 + 272 * 5e-6)


def test_a_split_goes_on_with_the_model_here_while_the_tier_is_down_and_computes_no_head_in_vain(
    xapp: Path,
) -> None:
    """Two waits in vain, then the tier is left alone: nothing is computed for it, so nothing takes time."""
    text = (xapp / "manifest.toml").read_text().replace('["regional", "central"]', '["regional"]')
    (xapp / "manifest.toml").write_text(text)
    loop = Loop(xapp, VirtualTiers(tiers(edge=SLOW, regional=down(0.15, 9))))
    found = [seen(loop.step(seq)) for seq in range(5)]
    assert [wait for wait, *_ in found] == [40.0, 50.0, 50.0, 0.0, 0.0]
    assert [reason for _, reason, *_ in found] == ["better", "late", "late", "away", "away"]
    assert [weights for *_, weights in found[1:]] == [[1.0, 1.0]] * 4


def test_where_the_input_may_leave_a_split_that_loses_to_sending_it_is_refused(
    tmp_path: Path, models: Path
) -> None:
    """Head 10 ms and way 20 ms, against 20 ms for the whole model at regional."""
    folder = tmp_path / "models"
    write_chain(folder / "large", features=(MEASURED,))
    (folder / "small").symlink_to(models / "small")
    with pytest.raises(
        PlacementError,
        match=r"placement\.load: a split is refused, it loses: the cut g1 at regional takes 30 ms, the whole model at "
        r'regional takes 20 ms; choose pattern = "edge-first"',
    ) as refused:
        Loop(write_split(tmp_path / "placed", folder), VirtualTiers(tiers(edge=SLOW)))
    assert "\n" not in str(refused.value)


def test_where_this_place_is_quick_enough_a_split_is_refused(xapp: Path) -> None:
    with pytest.raises(
        PlacementError, match=r"it loses: .* the whole model at edge takes .* ms; name it under \[models\]"
    ):
        Loop(xapp, VirtualTiers(tiers()))


def test_without_the_card_s_word_what_is_inside_a_model_is_as_sensitive_as_its_input(
    tmp_path: Path, models: Path
) -> None:
    folder = tmp_path / "models"
    write_chain(folder / "large", sensitivity_inside=None)
    (folder / "small").symlink_to(models / "small")
    with pytest.raises(PlacementError, match="no cut gives the bits of the whole model and may leave"):
        Loop(write_split(tmp_path / "placed", folder), VirtualTiers(tiers(edge=SLOW)))


def test_as_u8_each_row_has_a_byte_for_each_value_and_the_loss_is_known(
    tmp_path: Path, raw_models: Path
) -> None:
    """At g2: lowest value, step, and 8 bytes. That is 16 bytes a row for 32."""
    xapp = write_split(tmp_path / "placed", raw_models, 'wire = "u8"\ncut = "g2"')
    # 18 of 26 multiply-accumulates: at 2e-6 GMAC/s 9 ms a row. The whole model takes 13; a way of 1 ms there and back lets it win.
    near = tiers(edge={"gmac_per_s": 2e-6}, regional={"round_trip_ms": 1})
    answer = Loop(xapp, VirtualTiers(near)).step(0)
    assert seen(answer)[1:] == ("better", "regional", "", [2.0, 2.0])
    assert answer.batches[0].inferences[0].sent_bytes == {"per-ue": 256 + 2 * 16}


def test_u8_without_golden_inputs_is_refused_because_nobody_knows_its_loss(
    tmp_path: Path, models: Path
) -> None:
    folder = tmp_path / "models"
    write_chain(folder / "large", golden=False)
    (folder / "small").symlink_to(models / "small")
    with pytest.raises(
        PlacementError, match="the card of chain has no golden inputs, so that nobody knows what u8"
    ):
        Loop(write_split(tmp_path / "placed", folder, 'wire = "u8"'), VirtualTiers(tiers(edge=SLOW)))


def test_the_loss_of_u8_is_the_largest_difference_on_the_golden_inputs() -> None:
    """With f32 it is that of the bits, 0; a byte for each of the values of a small network costs some percent at most."""
    content = GRAPHS["cnn"]()
    model = CutModel(card_of("cnn", content), content, "cnn")
    loss = model.loss(model.split(model.cut("p1"), "u8"))
    assert model.loss(model.split(model.cut("p1"))) == 0.0
    assert loss is not None
    assert 0.0 < loss < 0.05


def test_a_package_that_nobody_has_signed_is_not_cut_under_trust(raw_models: Path, tmp_path: Path) -> None:
    (tmp_path / "trust").mkdir()
    make_key(tmp_path / "anna.pem").rename(tmp_path / "trust/anna.pem")
    declared = Placement(pattern="split", better="large", ask=("regional",), wait_ms=50)
    with pytest.raises(ModelError, match="large is not signed"):
        place(
            {"load": load_model(raw_models / "small")},
            {"load": declared},
            {"load": raw_models / "small"},
            {"load": raw_models / "large"},
            VirtualTiers(tiers(edge=SLOW)),
            trust=load_trust(tmp_path / "trust"),
        )


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('cut = "g9"', r"has no cut 'g9'; it has 4, such as g1, r1, g2, r2"),
        ('wire = "u4"', r"placement\.load\.wire: Input should be 'f32' or 'u8'"),
    ],
)
def test_a_split_that_names_what_is_not_there_is_refused_in_one_line(
    tmp_path: Path, raw_models: Path, more: str, complaint: str
) -> None:
    with pytest.raises((PlacementError, ManifestError), match=complaint) as refused:
        Loop(write_split(tmp_path / "placed", raw_models, more), VirtualTiers(tiers(edge=SLOW)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "old", "new", "complaint"),
    [
        (
            "edge-first",
            "wait_ms = 50",
            'wait_ms = 50\ncut = "g1"',
            r'cut means nothing here: it belongs to pattern = "split"',
        ),
        ("split", "better = ", "# ", "a split wants better, the model that is split"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    tmp_path: Path, raw_models: Path, pattern: str, old: str, new: str, complaint: str
) -> None:
    xapp = write_split(tmp_path / "placed", raw_models)
    text = (xapp / "manifest.toml").read_text().replace('"split"', f'"{pattern}"').replace(old, new, 1)
    (xapp / "manifest.toml").write_text(text)
    with pytest.raises(ManifestError, match=complaint):
        load_package(xapp)


def drawn(seed: int) -> Tiers:
    """Tiers with figures over several magnitudes; the input may go to `central` alone."""
    rng = np.random.default_rng(seed)

    def tier(zone: str) -> dict[str, Any]:
        return {
            "zone": zone,
            "round_trip_ms": float(10 ** rng.uniform(-2, 2)),
            "overhead_ms": float(rng.uniform(0, 1)),
            "bandwidth_mbps": float(10 ** rng.uniform(-1, 3)),
            "gmac_per_s": float(10 ** rng.uniform(-3, 2)),
        }

    here = {"zone": "site", "gmac_per_s": float(10 ** rng.uniform(-4, 0))}
    places = {"edge": here, "regional": tier("operator"), "central": tier("site")}
    zones = {"site": "raw", "operator": "per-ue"}
    return Tiers.model_validate({"here": "edge", "zones": zones, "tiers": places})


def test_the_plan_is_the_best_of_every_cut_at_every_tier() -> None:
    """Worked out beside it from the sum of head, way and tail: time = mmac / gmac_per_s + round trip + bits / bandwidth."""
    content, outcomes = GRAPHS["cnn"](), set[bool]()
    raw = tuple(
        feature.model_copy(update={"sensitivity": "raw"}) for feature in card_of("cnn", content).features
    )
    model = CutModel(card_of("cnn", content, features=raw, sensitivity_inside="per-ue"), content, "cnn")

    def away_ms(at: Any, values: int, mmac: float) -> float:
        way_ms = at.round_trip_ms + at.overhead_ms + (256 + 4 * values) * 8 / (at.bandwidth_mbps * 1e3)
        return float(way_ms + mmac / at.gmac_per_s)

    for seed in range(40):
        of = drawn(seed)
        edge, central = of["edge"], of["central"]
        whole_ms = min(model.graph.mmac / edge.gmac_per_s, away_ms(central, 48, model.graph.mmac))
        split_ms = min(
            cut.mmac_head / edge.gmac_per_s + away_ms(of[tier], cut.size, cut.mmac_tail)
            for cut, tier in itertools.product(model.cuts, ("regional", "central"))
            if tier == "central" or cut.name != "image"  # which is the input
        )
        plan = plan_split(model, of, ["regional", "central"])
        assert plan.split is not None
        assert plan.split.took_ns / 1e6 == pytest.approx(split_ms, abs=2e-6)
        assert plan.whole.took_ns / 1e6 == pytest.approx(whole_ms, abs=2e-6)
        assert plan.wins == (split_ms < whole_ms)
        outcomes.add(plan.wins)
    assert outcomes == {True, False}


def test_the_plan_passes_over_a_cut_that_gives_other_bits() -> None:
    """After the convolution and after its normalisation a cut costs the same; the first of the two rounds otherwise."""
    content = GRAPHS["normalised"]()
    raw = tuple(MEASURED.model_copy(update={"lag": lag, "sensitivity": "raw"}) for lag in range(5))
    model = CutModel(card_of("normalised", content, features=raw, sensitivity_inside="per-ue"), content, "bn")
    near = tiers(edge={"gmac_per_s": 1e-9})
    plan = plan_split(model, near, ["regional"])
    times = {way.cut.name: way.took_ns for way in plan.ways if way.cut is not None and way.may_leave}
    assert times["c"] == times["b"] == min(times.values())
    assert plan.split is not None
    assert plan.split.cut == model.cut("b")
    only = plan_split(model, near, ["regional"], only=model.cut("c"))
    assert only.split is None
    assert "no cut gives the bits of the whole model" in str(only)


# On a bus


@pytest.mark.parametrize("wire", ["f32", "u8"])
def test_a_host_serves_the_tail_and_answers_with_the_bits_of_both_parts(
    tmp_path: Path, connect: Callable[[str], Bus], wire: Any
) -> None:
    model = open_cut_model(write_chain(tmp_path / "chain"))
    split = model.split(model.cut("g2"), wire)
    host = InferenceHost(connect("east"), "east", "regional", [], splits=[split])
    way = BusTiers(tiers(), "a", lambda _: connect("a"))
    way.turn()
    matrix = f32([[3], [-1], [40]])
    question = Question(
        model=split.tag,
        matrix=matrix,
        n_outputs=1,
        node="site0",
        level="ue",
        asked_ns=0,
        sensitivity="per-ue",
        head=split.head,
    )
    number = way.send("regional", question, 2000 * MS)
    assert host.turn() == 1
    (reply,) = way.arrived([number])
    assert reply.outputs is not None
    want = split.predict(matrix, 0, FOR_EVER_NS)
    assert isinstance(want, np.ndarray)
    assert reply.outputs.tobytes() == want.tobytes()
    assert np.abs(want[:, 0] - [4, 1, 41]).max() < (1e-5 if wire == "f32" else 0.2)


def test_rows_of_another_cut_are_of_the_wrong_shape(tmp_path: Path, connect: Callable[[str], Bus]) -> None:
    model = open_cut_model(write_chain(tmp_path / "chain"))
    at_g1, at_g2 = (model.split(model.cut(name)) for name in ("g1", "g2"))
    host = InferenceHost(connect("east"), "east", "regional", [], splits=[at_g2])
    way = BusTiers(tiers(), "a", lambda _: connect("a"))
    way.turn()
    question = Question(
        model=at_g2.tag,
        matrix=f32([[3]]),
        n_outputs=1,
        node="site0",
        level="ue",
        asked_ns=0,
        sensitivity="per-ue",
        head=at_g1.head,
    )
    way.send("regional", question, 2000 * MS)
    host.turn()
    assert host.counts == {"wrong-shape": 1}


# The command line

TIERS_FILE = """\
here = "edge"
[zones]
site = "raw"
operator = "per-ue"
[tiers.edge]
zone = "site"
above = "regional"
gmac_per_s = 2e-7
[tiers.regional]
zone = "operator"
round_trip_ms = 20
gmac_per_s = 3000
"""


def test_the_table_shows_every_cut_with_its_bytes_and_times_and_whether_a_split_pays(
    tmp_path: Path, ranloop: Command
) -> None:
    (tmp_path / "tiers.toml").write_text(TIERS_FILE)
    package = write_chain(tmp_path / "chain")
    shown = ranloop("model", "cuts", package, "--tiers", tmp_path / "tiers.toml").out.splitlines()
    assert shown[0] == (
        "chain: 2.6e-05 MMAC a row; cuts: 4. The whole model takes 130 ms at edge, 20 (private) ms at regional."
    )
    assert [line.split()[:5] for line in shown[2:4]] == [
        ["g1", "264", "2e-06", "2.4e-05", "30"],
        ["r1", "264", "2e-06", "2.4e-05", "30"],
    ]
    assert (
        shown[-1] == "a split wins: the cut g1 at regional takes 30 ms, the whole model at edge takes 130 ms."
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--wire", "u4"], "--wire 'u4': want one of f32, u8"),
        (["--level", "user"], "--level 'user': want one of cell, ue"),
        (["--ask", "fog"], "there is no tier 'fog'; the tiers file has edge, regional"),
        (["--ask", "edge"], "--ask names tiers other than edge, where the head is computed"),
    ],
)
def test_wrong_arguments_of_the_table_are_one_line(
    tmp_path: Path, ranloop: Command, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "tiers.toml").write_text(TIERS_FILE)
    package = write_chain(tmp_path / "chain")
    outcome = ranloop("model", "cuts", package, "--tiers", tmp_path / "tiers.toml", *arguments)
    assert complaint in outcome.complaint


def test_the_card_s_words_about_what_may_leave_are_shown(tmp_path: Path, ranloop: Command) -> None:
    shown = ranloop("model", "show", write_chain(tmp_path / "chain")).out
    assert "DRB.UEThpDl in kbit/s: not said, raw\na split sends what its maker calls per-ue\n" in shown


def test_a_model_of_one_node_has_no_cut(models: Path, tmp_path: Path, ranloop: Command) -> None:
    (tmp_path / "tiers.toml").write_text(TIERS_FILE)
    outcome = ranloop("model", "cuts", models / "small", "--tiers", tmp_path / "tiers.toml")
    assert "model.onnx cannot be cut: no place inside" in outcome.complaint


def test_a_host_is_given_the_cuts_of_one_package(models: Path, tmp_path: Path, ranloop: Command) -> None:
    package = write_chain(tmp_path / "chain")
    at = ["--tier", "regional", "--bus", "mqtt://127.0.0.1:1", "--cut"]
    assert "has no cut 'nope'" in ranloop("infer-host", package, *at, "nope").complaint
    assert (
        "--cut belongs to one package"
        in ranloop("infer-host", package, models / "small", *at, "g1").complaint
    )
