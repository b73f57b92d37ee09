"""A profile says what a stack has, in the catalogue's terms; what it lacks for an xApp is one line each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranloop.errors import NodeError
from ranloop.guard import ActionRight, Rights, StreamRight
from ranloop.node.profile import Profile, load_profile, profile_names
from ranloop.node.profile_fit import as_lines, lacks, remarks, require_fit
from ranloop.vocabulary import ACTIONS, LEVELS, MEASUREMENTS, Level

BUNDLED = ("ns-o-ran", "oai", "ocudu", "onos-ransim")
CARRIED = {
    "ocudu": "ocudu",
    "oai": "OAI",
    "ns-o-ran": "ns-O-RAN",
    "onos-ransim": "ONOS",
}  # as carriers call them
WORDS: dict[Level, str] = {"cell": "node|cell level", "ue": "UE level|UE and"}
MINE = """\
name = "mine"
read_at = "1.0"
[period]
shortest_ms = 500
[[measurements]]
names = ["DRB.UEThpDl", "RRU.PrbTotDl"]
levels = ["cell", "ue"]
[[measurements]]
names = ["DRB.RlcSduDelayDl"]
levels = ["qos_flow"]
[[actions]]
names = ["Handover"]
[[withheld]]
names = ["CQI"]
because = "it is always 7"
"""


@pytest.fixture
def mine(tmp_path: Path) -> Profile:
    (tmp_path / "mine.toml").write_text(MINE)
    return load_profile(str(tmp_path / "mine.toml"))


def reads(*names: str, level: str = "ue", every_ms: int = 1000) -> Rights:
    stream = {"level": level, "every_ms": every_ms, "measurements": names}
    return Rights.model_validate({"streams": [stream]})


# The bundled ones


def test_the_bundled_profiles_are_named_after_their_files_and_stand_alone() -> None:
    assert profile_names() == BUNDLED
    loaded = [load_profile(name) for name in BUNDLED]
    assert tuple(profile.name for profile in loaded) == BUNDLED
    assert [profile.like for profile in loaded] == [""] * len(BUNDLED)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_profile_says_what_each_entry_is_based_on(name: str) -> None:
    profile = load_profile(name)
    assert profile.title
    assert profile.source
    assert profile.read_at
    assert profile.left_open
    assert profile.measurements is not None
    assert profile.actions is not None
    based_on = [entry.based_on for entry in (*profile.measurements, *profile.actions)]
    assert all(based_on)
    assert profile.period is None or profile.period.based_on


@pytest.mark.parametrize("name", BUNDLED)
def test_profiles_and_the_carriers_of_the_vocabulary_name_the_same_measurements(name: str) -> None:
    profile = load_profile(name)
    carried = {entry.name for entry in MEASUREMENTS.values() if CARRIED[name] in entry.carrier}
    assert {*profile.spelling, *profile.because} - set(ACTIONS) == carried


@pytest.mark.parametrize("name", BUNDLED)
def test_where_a_carrier_says_node_or_ue_level_the_profile_says_so(name: str) -> None:
    profile = load_profile(name)
    for entry in MEASUREMENTS.values():
        carrier = next((part for part in entry.carrier.split(";") if CARRIED[name] in part), "")
        for level, words in WORDS.items():
            if entry.name in profile.spelling and level in entry.levels and "not verified" not in carrier:
                said = bool(re.search(words, carrier))
                assert (entry.name in profile.measured[level]) == said, (entry.name, level, carrier)


def test_ns_o_ran_spells_names_with_its_suffix() -> None:
    assert load_profile("ns-o-ran").spelling["DRB.UEThpDl"] == "DRB.UEThpDl.UEID"


# One of an operator's own


def test_what_a_profile_does_not_speak_of_it_does_not_limit(tmp_path: Path) -> None:
    (tmp_path / "open.toml").write_text('name = "open"\nread_at = "1.0"')
    profile = load_profile(str(tmp_path / "open.toml"))
    everything = [(name, level) for name, entry in MEASUREMENTS.items() for level in entry.levels]
    assert all(profile.measures(name, level) for name, level in everything)
    assert all(profile.takes(action) for action in ACTIONS)


def test_no_actions_at_all_is_said_with_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "mute.toml").write_text('name = "mute"\nread_at = "1.0"\nactions = []')
    profile = load_profile(str(tmp_path / "mute.toml"))
    assert [action for action in ACTIONS if profile.takes(action)] == []


def test_a_profile_like_a_bundled_one_has_the_rest_from_there(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nlike = "ocudu"\n[period]\nshortest_ms = 100')
    profile, ocudu = load_profile(str(tmp_path / "mine.toml")), load_profile("ocudu")
    assert (profile.name, profile.period and profile.period.shortest_ms) == ("mine", 100)
    assert (profile.measurements, profile.actions, profile.withheld) == (
        ocudu.measurements,
        ocudu.actions,
        ocudu.withheld,
    )


def test_what_like_brings_is_dropped_on_request(tmp_path: Path) -> None:
    shown = '[[measurements]]\nnames = ["CQI"]\nlevels = ["ue"]'
    for withheld in ("", "withheld = []\n"):
        (tmp_path / "mine.toml").write_text(f'name = "mine"\nlike = "ocudu"\n{withheld}{shown}')
        if withheld:
            assert load_profile(str(tmp_path / "mine.toml")).measures("CQI", "ue")
        else:
            with pytest.raises(NodeError, match=r"`withheld = \[\]` drops what `like` brings"):
                load_profile(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"Handover"', '"Handoff"'), "actions.0.names.0: unknown action 'Handoff'; did you mean Handover?"),
        (('"DRB.RlcSduDelayDl"', '"DRB.RlcSduDelay"'), "unknown measurement 'DRB.RlcSduDelay'; did you mean"),
        (('["qos_flow"]', '["cell", "flow"]'), "measurements.1.levels.1"),
        (
            ('"DRB.RlcSduDelayDl"', '"RRU.PrbAvailDl"'),
            "RRU.PrbAvailDl is measured per cell, not per qos_flow",
        ),
        (('["qos_flow"]', "[]"), "measurements.1.levels"),
        (('"RRU.PrbTotDl"', '"DRB.UEThpDl"'), "a name stands at the same level twice"),
        (('"DRB.UEThpDl", "RRU.PrbTotDl"', '"DRB.UEThpDl", "DRB.UEThpDl.UEID"'), "at the same level twice"),
        (('"CQI"', '"Handover"'), "Handover is both withheld and shown"),
        (('"CQI"', '"RRU.PrbTotDl"'), "RRU.PrbTotDl is both withheld and shown"),
        (('"CQI"', '"CQ"'), "unknown measurement or action 'CQ'; did you mean CQI?"),
        (("500", "0"), "period.shortest_ms: Input should be greater than 0 (got 0)"),
        (("shortest_ms", "shortest"), "period.shortest_ms: Field required"),
        (('name = "mine"', ""), "name: Field required"),
        (('name = "mine"', 'name = "Mine"'), "name: String should match"),
        (('name = "mine"', 'name = "mine"\nlike = "ocud"'), "no profile 'ocud'; did you mean ocudu?"),
        (('name = "mine"', 'name = "mine"\nlike = 3'), "like: Input should be a valid string"),
        (('"it is always 7"', '"it is\\nalways 7"'), "withheld.0.because: String should match"),
        (("[[actions]]", "[[action]]"), "action: no such key (did you mean actions?)"),
        (("[period]", "[period"), "is not TOML"),
    ],
)
def test_a_wrong_profile_is_one_line_with_the_field(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    assert change[0] in MINE
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(*change, 1))
    with pytest.raises(NodeError) as refused:
        load_profile(str(path))
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "ocud",
            "no profile 'ocud'; did you mean ocudu? there is ns-o-ran, oai, ocudu, onos-ransim, or the path",
        ),
        ("zzz", "no profile 'zzz'; there is ns-o-ran"),
        ("../ocudu", "no such profile"),
        ("nowhere/mine.toml", "no such profile"),
        ("/", "cannot be read"),
    ],
)
def test_a_profile_that_is_not_there_is_one_line(name: str, words: str) -> None:
    with pytest.raises(NodeError, match=re.escape(words)):
        load_profile(name)


# What an xApp lacks


@pytest.mark.parametrize(
    ("rights", "line"),
    [
        (reads("DRB.UEThpDl", every_ms=100), "reads ue reports every 100 ms: mine has new values every 500 ms; want every_ms = 500 or more"),
        (reads("DRB.RlcSduDelayDl"), "reads DRB.RlcSduDelayDl per ue: mine has it per qos_flow only"),
        (reads("DRB.UEThpUl"), "reads DRB.UEThpUl per ue: mine does not have it; near: DRB.UEThpDl"),
        (reads("PEE.Energy", level="cell"), "reads PEE.Energy per cell: mine does not have it; it has per cell DRB.UEThpDl, RRU.PrbTotDl"),
        (reads("CQI"), "reads CQI per ue: mine has it, but it is always 7"),
        (reads("X.Slice.MinQuota", level="slice"), "reads X.Slice.MinQuota per slice: mine has no slice reports, only cell and ue and qos_flow reports"),
        (Rights(actions=(ActionRight(name="SetTxPower"),)), "writes SetTxPower: mine does not have it; it takes Handover"),
    ],
)  # fmt: skip
def test_each_lacking_thing_is_told_with_what_the_profile_has(
    mine: Profile, rights: Rights, line: str
) -> None:
    assert as_lines(lacks(mine, rights)) == [line]


def test_a_line_says_likewise_where_the_line_above_has_the_same_list(mine: Profile) -> None:
    names = ("PEE.Energy", "PEE.AvgPower", "DRB.UEThpUl", "RRC.ConnMax")
    told = as_lines(lacks(mine, reads(*names, level="cell")))
    listed = "mine does not have it; it has per cell DRB.UEThpDl, RRU.PrbTotDl"
    near = "mine does not have it; near: DRB.UEThpDl"
    assert [line.split(": ", 1)[1] for line in told] == [listed, "likewise", near, listed]


def test_what_two_streams_lack_is_said_once(mine: Profile) -> None:
    streams = [*reads("CQI", every_ms=500).streams, *reads("CQI", every_ms=1000).streams]
    assert as_lines(lacks(mine, Rights(streams=tuple(streams)))) == [
        "reads CQI per ue: mine has it, but it is always 7"
    ]


def test_remarks_are_told_of_what_is_asked_for_and_there() -> None:
    oai = load_profile("oai")
    assert remarks(oai, reads("DRB.RlcSduDelayDl", "DRB.UEThpDl", "CQI")) == [
        "DRB.RlcSduDelayDl per ue: FlexRIC's monitor labels it µs, where the catalogue has 0.1 ms"
    ]
    assert remarks(oai, reads("DRB.RlcSduDelayDl", level="cell")) == []


def test_every_lacking_thing_of_every_xapp_has_its_own_line(mine: Profile) -> None:
    energy = reads("PEE.Energy", level="cell", every_ms=100)
    with pytest.raises(NodeError) as refused:
        require_fit(mine, {"fits": reads("DRB.UEThpDl"), "one": reads("CQI"), "two": energy})
    head, *lines = str(refused.value).splitlines()
    assert head == "the profile mine does not have what is asked for:"
    assert [line.split(":")[0] for line in lines] == [
        "  one reads CQI per ue",
        "  two reads cell reports every 100 ms",
        "  two reads PEE.Energy per cell",
    ]
    require_fit(mine, {"fits": reads("DRB.UEThpDl")})


READABLE = [(name, level) for name, entry in MEASUREMENTS.items() for level in entry.levels]


@given(
    shown=st.sets(st.sampled_from(READABLE), min_size=1),
    asked=st.sets(st.sampled_from(READABLE), min_size=1),
    taken=st.sets(st.sampled_from(sorted(ACTIONS))),
    wanted=st.sets(st.sampled_from(sorted(ACTIONS))),
)
def test_an_xapp_lacks_exactly_what_it_asks_for_beyond_the_profile(
    shown: set[tuple[str, str]], asked: set[tuple[str, str]], taken: set[str], wanted: set[str]
) -> None:
    entries = [{"names": [name], "levels": [level]} for name, level in sorted(shown)]
    actions = [{"names": [action]} for action in sorted(taken)]
    profile = Profile.model_validate(
        {"name": "p", "read_at": "1.0", "measurements": entries, "actions": actions}
    )
    streams = [
        StreamRight(level=level, every_ms=100, measurements=names)
        for level in LEVELS
        if (names := tuple(name for name, at in sorted(asked) if at == level))
    ]
    rights = Rights(streams=tuple(streams), actions=tuple(ActionRight(name=name) for name in wanted))
    expected = {f"reads {name} per {level}" for name, level in asked - shown}
    expected |= {f"writes {action}" for action in wanted - taken}
    assert {lack.wants for lack in lacks(profile, rights)} == expected


def test_a_profile_names_the_version_that_it_is_about(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"')
    with pytest.raises(NodeError, match=r"mine\.toml: read_at: Field required"):
        load_profile(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text('name = "mine"\nlike = "oai"')
    assert load_profile(str(tmp_path / "mine.toml")).read_at == load_profile("oai").read_at


def test_a_boolean_is_refused_as_a_period(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nread_at = "1.0"\n[period]\nshortest_ms = true')
    with pytest.raises(NodeError, match=r"period\.shortest_ms: Input should be a valid integer \(got True\)"):
        load_profile(str(tmp_path / "mine.toml"))


def test_ocudu_counts_connections_since_its_cu_cp_does() -> None:
    """Its CU-CP has them at node level since March 2026; without a DU it sends 0."""
    profile = load_profile("ocudu")
    for name in ("RRC.ConnMean", "RRC.ConnMax", "RRC.ConnEstabAtt", "RRC.ConnEstabSucc"):
        assert profile.measures(name, "cell")
        assert "0 where there is no data" in profile.measured["cell"][name].remark
