"""Routes from a file: straight legs at the file's speed, ends that stay or loop, and rows that are refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran_sim.core.state import Cells, Links, Ues
from ran_sim.engine.radio_state import RadioState, init_radio
from ran_sim.engine.radio_tick import radio_tick
from ran_sim.mobility.movement import doppler_speed_mps, follow_route
from ran_sim.scenario import ScenarioError, load_scenario
from ran_sim.scenario.routes import load_routes, no_routes

Network = tuple[Cells, Ues, Links, RadioState]
ROUTE = """ue,time_s,x_m,y_m
2,1,0,0
2,11,100,0
0,0,-50,10
2,21,100,40
"""


def routed(folder: Path, text: str = ROUTE, **overrides: object) -> Network:
    file = folder / "routes.csv"
    file.write_text(text)
    scenario = load_scenario("one-cell").with_overrides(
        {
            "mobility.model": "routes",
            "mobility.routes_file": str(file),
            "radio.indoor_share": 1.0,
            "radio.shadowing": False,
            "radio.line_of_sight": "always",
            **{f"mobility.{key}": value for key, value in overrides.items()},
        }
    )
    return init_radio(scenario, 1)


@pytest.mark.parametrize(
    ("time_s", "place", "velocity"),
    [
        (0.0, (0, 0), (0, 0)),  # waits for its first row
        (1.0, (0, 0), (0, 0)),
        (3.5, (25, 0), (10, 0)),
        (11.0, (100, 0), (0, 4)),
        (18.5, (100, 30), (0, 4)),
        (21.0, (100, 40), (0, 0)),
        (99.0, (100, 40), (0, 0)),
    ],
)
def test_a_ue_is_where_its_route_is_at_that_time(
    tmp_path: Path, time_s: float, place: tuple[float, float], velocity: tuple[float, float]
) -> None:
    _, ues, _, radio = routed(tmp_path)
    follow_route(2, time_s, ues, radio.motion, radio.topology)
    assert (ues.x_m[2], ues.y_m[2]) == pytest.approx(place)
    assert (ues.vx_mps[2], ues.vy_mps[2]) == pytest.approx(velocity)


def test_a_loop_begins_again_with_its_first_row(tmp_path: Path) -> None:
    _, ues, _, radio = routed(tmp_path, routes_end="loop")
    for time_s in (3.5, 23.5, 203.5):  # rows from 1 to 21 s: every 20 s
        follow_route(2, time_s, ues, radio.motion, radio.topology)
        assert (ues.x_m[2], ues.y_m[2]) == pytest.approx((25, 0))
    follow_route(
        2, 40.5, ues, radio.motion, radio.topology
    )  # its end again, half a second before the next beginning
    assert (ues.x_m[2], ues.y_m[2]) == pytest.approx((100, 38))
    follow_route(0, 5.0, ues, radio.motion, radio.topology)  # one row alone cannot loop
    assert (ues.x_m[0], ues.y_m[0]) == (-50, 10)


def test_the_radio_moves_ues_along_outdoors_and_the_others_by_waypoints(tmp_path: Path) -> None:
    made = routed(tmp_path)
    _, ues, _, radio = made
    for slot in range(0, 10_100, 100):
        radio_tick(slot, *made)
    assert ues.connected[2]
    assert (ues.x_m[2], ues.y_m[2]) == pytest.approx((40, 0))  # at 5 s
    assert (radio.motion.indoor[2], radio.motion.indoor[1]) == (0, 1)
    # 100 m and 40 m in 20 s
    assert doppler_speed_mps(2, radio.motion) == pytest.approx(140 / 20)


@pytest.fixture(scope="module")
def on_the_way(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return routed(tmp_path_factory.mktemp("routes"))


@given(time_s=st.floats(0.0, 60.0), step_s=st.floats(0.001, 5.0))
def test_nobody_is_faster_than_the_fastest_leg(on_the_way: Network, time_s: float, step_s: float) -> None:
    _, ues, _, radio = on_the_way
    places = []
    for at_s in (time_s, time_s + step_s):
        follow_route(2, at_s, ues, radio.motion, radio.topology)
        places.append((float(ues.x_m[2]), float(ues.y_m[2])))
    assert math.dist(*places) <= 10.0 * step_s + 1e-6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "row 1: got '', want ue,time_s,x_m,y_m"),
        ("ue,x_m,y_m\n", "row 1: got 'ue,x_m,y_m', want ue,time_s,x_m,y_m"),
        ("ue,time_s,x_m,y_m\n", "got no rows"),
        (ROUTE + "1,0,5\n", "row 6: got '1,0,5', want a number for each"),
        (ROUTE + "1,0,5,far\n", "row 6: got '1,0,5,far'"),
        (ROUTE + "1.5,0,5,5\n", r"row 6: got '1\.5,0,5,5'"),
        (ROUTE + "1,0,nan,5\n", "row 6: got '1,0,nan,5', want finite numbers"),
        (ROUTE + "1,0,2e6,5\n", r"row 6: got '1,0,2e6,5', want places within 1e\+06 m"),
        (ROUTE + "30,0,5,5\n", "row 6: got ue 30, want a UE row, 0 to 29"),
        (ROUTE + "-1,0,5,5\n", "row 6: got ue -1"),
        (ROUTE + "2,21,5,5\n", "row 6: got time_s 21, want times"),
        (ROUTE + "1,-1,5,5\n", "row 6: got time_s -1, want times"),
    ],
)
def test_a_bad_file_is_one_line_with_the_row(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ScenarioError, match=r"mobility\.routes_file: .*routes\.csv.*" + reason) as caught:
        routed(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"none\.csv: got no readable file \(No such file.*\), want a CSV file of ue,time_s"
    ):
        load_routes(tmp_path / "none.csv", 1)


def test_the_file_is_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "routes.csv").write_text(ROUTE)
    scenario = tmp_path / "with-routes.toml"
    text = (Path(load_scenario.__code__.co_filename).parent / "scenarios" / "one-cell.toml").read_text()
    scenario.write_text(
        text.replace("[mobility]", '[mobility]\nmodel = "routes"\nroutes_file = "routes.csv"')
    )
    assert load_scenario(scenario).mobility.routes_file == str(tmp_path / "routes.csv")


@pytest.mark.parametrize("mobility", [{"mobility.model": "routes"}, {"mobility.routes_file": "routes.csv"}])
def test_model_and_file_go_together(mobility: dict[str, object]) -> None:
    with pytest.raises(ScenarioError, match=r'mobility: .*routes_file with model = "routes"'):
        load_scenario("one-cell").with_overrides(mobility)


def test_nobody_has_a_route_by_default() -> None:
    assert np.array_equal(no_routes(3).start, np.zeros(4))
