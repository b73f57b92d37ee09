"""Files that would take long, much memory or many lines are refused at once, in one line of bounded length."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from ran_sim.core import files
from ran_sim.scenario import SCENARIO_FOLDER, ScenarioError, load_scenario
from ran_sim.scenario.routes import load_routes
from ran_sim.traffic.traces import read_trace

MOST_S = 5.0  # that a refusal may take on a busy machine; all here take less than one
MOST_CHARACTERS = 1000
ENDLESS = ("/dev/zero", "fifo")  # reads for ever; waits for a writer for ever
MUTATIONS = 200
VALUES = (
    "0x" + "f" * 5000, "9" * 4500, "1e308", "1e-308", "nan", "-1", "0", "1e9", "true", "[" * 5000 + "]" * 5000, '"' + "a" * 9999 + '"',
    "[" + "1.0," * 9999 + "]", "[" + "[1.0,2.0]," * 9999 + "]", "{a=" * 900 + "1" + "}" * 900, '"/dev/zero"', '"/dev/zero.py:f"',
)  # fmt: skip
PIECES = (
    "a" * 9999 + " = 1", "a." * 9999 + "b = 1", '"a\\nb" = 1', "[layout]", "speeds_kmh = [" + "1.0," * 9999 + "]",
    "".join(f"[a{i}]\n" for i in range(5000)), "[[x]]\n" * 5000, "".join(f"a.b{i}.c = 1\n" for i in range(5000)),
)  # fmt: skip


def refusal(text: str, folder: Path) -> str:
    """What a scenario of this text is refused with."""
    (path := folder / "world.toml").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return checked(caught.value)


def checked(error: Exception) -> str:
    message = str(error)
    assert message.isprintable()  # so it is one line
    assert len(message) < MOST_CHARACTERS
    return message


def one_cell_with(line: str, instead: str) -> str:
    text = (SCENARIO_FOLDER / "one-cell.toml").read_text()
    assert line in text
    return text.replace(line, instead)


def test_a_number_that_python_does_not_print_is_told_as_such(tmp_path: Path) -> None:
    # Python reads 0x with any number of digits, but converts at most 4300 decimal ones.
    text = one_cell_with("load = 1.0", "load = 0x" + "f" * 5000)
    assert "load: got a number of thousands of digits, want" in refusal(text, tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("load = [" + "1.0, " * 9999 + "]", "load: got [1.0, 1.0"),
        ('"a\\nb' + "c" * 9999 + '" = 1', "a bccc"),
        ("a" * 9999 + " = 1\n" + "a" * 9999 + " = 1", "got no TOML"),
    ],
    ids=["value", "key", "TOML"],
)
def test_long_or_unprintable_text_of_a_file_is_cut_and_cleaned(tmp_path: Path, line: str, words: str) -> None:
    text = one_cell_with("load = 1.0", line)
    assert words in refusal(text, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        # 30 UE rows, one SINR for each tick of 50 ms: 24 GB.
        ({"handover.qin_window_ms": 1e10}, "handover.qout_window_ms and qin_window_ms at most 50000"),
        ({"handover.qout_window_ms": 1e10}, "handover.qout_window_ms and qin_window_ms at most 50000"),
        # No whole slot: time would stand still.
        ({"radio.fading_grid_ms": 1e-300}, "radio.fading_grid_ms a multiple of the slot of 0.5 ms"),
        ({"radio.tick_ms": 1e-300}, "radio.tick_ms a multiple of the slot of 0.5 ms"),
        # Times and rates that overflow, so that a session or a packet is waited for without an end.
        ({"load": 1e-300}, "load: got 1e-300, want greater than or equal to 0.000001"),
        ({"load_profile": {"points": [(0, 1e-300)]}}, "factors of 0, or 1e-06 and up"),
        ({"load_profile": {"points": [(0, 1)], "day_s": 1e-300}}, "load_profile.day_s: got 1e-300, want greater"),
        ({"traffic.gaming.session_s": (1e-300, 1)}, "session_s = [shortest, longest], 0.001 s and up"),
        ({"traffic.gaming.idle_s": 1e-300}, "idle_s of 0, or 0.001 s and up"),
        # A triangle of 0.72 s a day, mean 0.0001 / 24: 240 000 candidates would be drawn for one session.
        (
            {"load_profile": {"points": [(0, 0), (0.0001, 1), (0.0002, 0)]}},
            "a highest factor of at most 100000 times the day's mean, not 1 with a mean of 4.17e-06",
        ),
    ],
)  # fmt: skip
def test_a_network_that_could_not_be_built_or_would_not_run_is_refused(
    overrides: dict[str, object], words: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("one-cell").with_overrides(overrides)
    assert words in checked(caught.value)


@pytest.fixture
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "fifo":
        os.mkfifo(tmp_path / "fifo.toml")
        return str(tmp_path / "fifo.toml")
    return str(request.param)


@pytest.mark.parametrize("endless", ENDLESS, indirect=True)
def test_a_device_or_a_pipe_is_no_file(tmp_path: Path, endless: str) -> None:
    words = r"got no readable file \(Not a regular file\), want"
    (world := tmp_path / "world.toml").symlink_to(endless)
    with pytest.raises(ScenarioError, match=words):
        load_scenario(world)
    with pytest.raises(ScenarioError, match=f"mobility.routes_file: .*{words}"):
        load_scenario("one-cell").with_overrides(
            {"mobility.model": "routes", "mobility.routes_file": endless}
        )
    with pytest.raises(ScenarioError, match=words):
        read_trace(endless)


def test_a_table_is_read_up_to_a_length_and_a_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := tmp_path / "long.csv").touch()
    os.truncate(long, files.MAX_TABLE_BYTES + 1)  # of nothing on the disk
    with pytest.raises(ValueError, match=r"got no text .more than 67108864 bytes"):
        load_routes(long, 1)
    with pytest.raises(ScenarioError, match=r"got no CSV .more than 67108864 bytes"):
        read_trace(long)
    monkeypatch.setattr("ran_sim.scenario.routes.MAX_TABLE_ROWS", 2)
    (rows := tmp_path / "rows.csv").write_text("ue,time_s,x_m,y_m\n0,0,0,0\n0,1,0,0\n0,2,0,0\n")
    with pytest.raises(ValueError, match=r"rows\.csv: got one more, want at most 2 rows"):
        load_routes(rows, 1)


def test_a_field_longer_than_a_csv_reader_takes_is_refused(tmp_path: Path) -> None:
    (wide := tmp_path / "wide.csv").write_text("x" * 200_000)
    with pytest.raises(ValueError, match=r"got no CSV .field larger than field limit"):
        load_routes(wide, 1)


def mutated(text: str, draw: random.Random) -> bytes:
    """The text with another value, a foreign line, other bytes, or a piece missing or twice."""
    lines = text.split("\n")
    place = draw.randrange(len(lines))
    match draw.randrange(5):
        case 0 | 1:
            place = draw.choice([i for i, line in enumerate(lines) if " = " in line and line[0] != "#"])
            lines[place] = f"{lines[place].partition(' = ')[0]} = {draw.choice(VALUES)}"
        case 2:
            lines.insert(place, draw.choice(PIECES))
        case 3:
            content = bytearray(text.encode())
            for _ in range(draw.choice((1, 5, 50))):
                content[draw.randrange(len(content))] = draw.randrange(256)
            return bytes(content)
        case 4:
            lines[place:] = lines[draw.randrange(len(lines)) :]
    return "\n".join(lines).encode()


def test_mutated_scenarios_are_read_or_refused_at_once(tmp_path: Path) -> None:
    draw, refused = random.Random(1), 0
    texts = [path.read_text() for path in sorted(SCENARIO_FOLDER.glob("*.toml"))]
    path = tmp_path / "world.toml"
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(draw.choice(texts), draw))
        started = time.perf_counter()
        try:
            load_scenario(path)
        except ScenarioError as error:
            refused += 1
            checked(error)
        assert time.perf_counter() - started < MOST_S
    assert MUTATIONS / 2 < refused < MUTATIONS
