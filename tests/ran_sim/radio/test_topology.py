"""Sites, wrap-around and drops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran_sim.radio.topology import (
    Topology,
    build_topology,
    drop_point,
    span_m,
)
from ran_sim.radio.topology import nearest_copy as nearest
from ran_sim.scenario.sections import Layout

ISD_M = 500.0
SEVEN = build_topology(Layout(isd_m=ISD_M))
NINETEEN = build_topology(Layout(sites=19, isd_m=ISD_M))


def test_sites_stand_in_rings_around_the_first() -> None:
    assert np.hypot(SEVEN.site_x_m, SEVEN.site_y_m) == pytest.approx([0.0] + [ISD_M] * 6)
    # The second ring alternates between corners at 2 ISD and the points between them at sqrt(3) ISD.
    second = [2 * ISD_M, math.sqrt(3) * ISD_M] * 6
    assert np.hypot(NINETEEN.site_x_m, NINETEEN.site_y_m)[7:] == pytest.approx(second)
    assert NINETEEN.site_x_m[:7] == pytest.approx(SEVEN.site_x_m)
    assert NINETEEN.site_y_m[:7] == pytest.approx(SEVEN.site_y_m)
    assert list(NINETEEN.cell_site[-4:]) == [17, 18, 18, 18]


@pytest.mark.parametrize("grid", [SEVEN, NINETEEN], ids=["7", "19"])
def test_every_sector_looks_at_a_neighbouring_site(grid: Topology) -> None:
    assert np.rad2deg(grid.azimuth_rad[:3]) == pytest.approx([30.0, 150.0, 270.0])
    for cell, azimuth in enumerate(grid.azimuth_rad):
        ahead_x = grid.site_x_m[grid.cell_site[cell]] + ISD_M * math.cos(azimuth)
        ahead_y = grid.site_y_m[grid.cell_site[cell]] + ISD_M * math.sin(azimuth)
        off_m = [
            math.hypot(*nearest(ahead_x - x, ahead_y - y, grid))
            for x, y in zip(grid.site_x_m, grid.site_y_m, strict=True)
        ]
        assert min(off_m) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("grid", "n_site"), [(SEVEN, 7), (NINETEEN, 19)])
def test_wrap_around_translations_tile_the_plane(grid: Topology, n_site: int) -> None:
    # A cluster of n hexagons: its lattice has n times the area, so sqrt(n) times the length, of the sites'.
    lengths_m = np.hypot(grid.wrap_x_m, grid.wrap_y_m)
    assert lengths_m == pytest.approx([0.0] + [math.sqrt(n_site) * ISD_M] * 6)


@pytest.mark.parametrize(
    ("grid", "site"), [(SEVEN, s) for s in range(7)] + [(NINETEEN, s) for s in range(19)]
)
def test_every_site_has_full_rings_of_neighbours(grid: Topology, site: int) -> None:
    distances = [
        math.hypot(*nearest(x - grid.site_x_m[site], y - grid.site_y_m[site], grid))
        for x, y in zip(grid.site_x_m, grid.site_y_m, strict=True)
    ]
    rings = [0.0] + [ISD_M] * 6 + [math.sqrt(3) * ISD_M] * 6 + [2 * ISD_M] * 6
    assert sorted(distances) == pytest.approx(rings[: len(distances)])


@pytest.mark.parametrize("grid", [SEVEN, NINETEEN], ids=["7", "19"])
def test_nearest_copy_of_two_wrapped_points_is_the_shortest_of_all(grid: Topology) -> None:
    rng = np.random.default_rng(1)
    points = [nearest(x, y, grid) for x, y in rng.uniform(-1100, 1100, (40, 2))]
    a = np.array([grid.wrap_x_m[1], grid.wrap_y_m[1]])
    b = np.array([grid.wrap_x_m[2], grid.wrap_y_m[2]])
    lattice = np.array([i * a + j * b for i in range(-3, 4) for j in range(-3, 4)])
    for p in points:
        for q in points:
            displacement = np.subtract(p, q)
            shortest = np.min(np.hypot(*(displacement + lattice).T))
            assert math.hypot(*nearest(displacement[0], displacement[1], grid)) == pytest.approx(shortest)


@pytest.mark.parametrize("grid", [SEVEN, NINETEEN], ids=["7", "19"])
def test_no_copy_is_left_out_that_is_nearer(grid: Topology) -> None:
    # Half a translation's length is as far as a displacement can be trusted to have no nearer copy.
    half_m = math.hypot(grid.wrap_x_m[1], grid.wrap_y_m[1]) / 2
    rng = np.random.default_rng(2)
    towards = [math.atan2(y, x) for x, y in zip(grid.wrap_x_m[1:], grid.wrap_y_m[1:], strict=True)]
    for angle in [*towards, *rng.uniform(-math.pi, math.pi, 30)]:
        for length_m in half_m * np.array([0.0, 0.5, 0.9999, 1.0 - 1e-9, 1.0, 1.0 + 1e-9, 1.0001, 1.1, 1.5]):
            x, y = length_m * math.cos(angle), length_m * math.sin(angle)
            copies = list(zip(x + grid.wrap_x_m, y + grid.wrap_y_m, strict=True))
            assert nearest(x, y, grid) == min(copies, key=lambda copy: copy[0] * copy[0] + copy[1] * copy[1])


def test_free_sites_stand_where_they_were_put_and_have_no_copies() -> None:
    free = build_topology(Layout(positions_m=((10.0, -3.0), (400.0, 0.0)), sectors=1))
    assert (list(free.site_x_m), list(free.site_y_m)) == ([10.0, 400.0], [-3.0, 0.0])
    assert list(free.cell_site) == [0, 1]
    assert nearest(5000.0, 0.0, free) == (5000.0, 0.0)


def test_drops_around_a_free_site_fill_its_hexagon() -> None:
    free = build_topology(Layout(positions_m=((0.0, 0.0), (3000.0, 100.0)), isd_m=ISD_M, sectors=1))
    drops = np.array([drop_point(1, entity, 0, 1, free) for entity in range(4000)]) - [3000.0, 100.0]
    assert np.hypot(*drops.T).max() <= ISD_M / math.sqrt(3) + 1e-6
    # Edges lie half an ISD towards 30, 90, … degrees.
    for edge in np.deg2rad([30.0, 90.0, 150.0]):
        along = drops @ [math.cos(edge), math.sin(edge)]
        assert np.abs(along).max() == pytest.approx(ISD_M / 2, rel=0.01)
    assert drops.mean(axis=0) == pytest.approx([0.0, 0.0], abs=8.0)  # sd of one axis 132 m: 4 sd of the mean


@pytest.mark.parametrize(
    "layout",
    [
        Layout(sites=1, sectors=1),
        Layout(sites=7),
        Layout(sites=19),
        Layout(sites=7, wrap_around=False),
        Layout(positions_m=((0.0, 0.0), (900.0, 100.0)), sectors=1),
    ],
    ids=["one", "7", "19", "7 flat", "free"],
)
def test_displacements_of_two_ues_from_a_site_lie_within_the_span(layout: Layout) -> None:
    topology = build_topology(layout)
    cells = topology.azimuth_rad.size
    drops = [drop_point(1, entity, 0, entity % cells, topology) for entity in range(3000)]
    offsets = np.array(
        [nearest(x - topology.site_x_m[0], y - topology.site_y_m[0], topology) for x, y in drops]
    )
    extent_m = np.ptp(offsets, axis=0).max()
    assert 0.8 * span_m(layout) < extent_m <= span_m(layout)


def test_without_wrap_around_displacements_stay_as_they_are() -> None:
    flat = build_topology(Layout(isd_m=ISD_M, wrap_around=False))
    assert nearest(1200.0, -900.0, flat) == (1200.0, -900.0)


@pytest.mark.parametrize("cell", [0, 4, 20])
def test_drops_fill_the_sector_and_keep_their_distance(cell: int) -> None:
    site = SEVEN.cell_site[cell]
    drops = np.array([drop_point(1, entity, 0, cell, SEVEN) for entity in range(2000)])
    offsets = np.array([nearest(x - SEVEN.site_x_m[site], y - SEVEN.site_y_m[site], SEVEN) for x, y in drops])
    angles = np.rad2deg(np.arctan2(offsets[:, 1], offsets[:, 0]) - SEVEN.azimuth_rad[cell])
    off = (angles + 180) % 360 - 180
    assert np.abs(off).max() <= 60.0 + 1e-6
    assert np.hypot(*offsets.T).min() >= 35.0
    # Mean square radius of a uniform hexagon with side a: 5/12 a^2; sd of the mean 1.3 %.
    assert np.mean(np.hypot(*offsets.T) ** 2) == pytest.approx(5 / 36 * ISD_M**2 * 1.013, rel=0.04)
    assert np.mean(off) == pytest.approx(0.0, abs=3.0)  # sd of the mean 0.8 degrees


@pytest.mark.parametrize("grid", [SEVEN, NINETEEN], ids=["7", "19"])
def test_home_areas_of_all_cells_tile_the_plane(grid: Topology) -> None:
    # Nearest site of every drop is its own: hexagons do not overlap, so with equal areas they fill the cluster.
    for cell in range(grid.azimuth_rad.size):
        for entity in range(20):
            x_m, y_m = drop_point(1, entity, 0, cell, grid)
            distances = [
                math.hypot(*nearest(x_m - sx, y_m - sy, grid))
                for sx, sy in zip(grid.site_x_m, grid.site_y_m, strict=True)
            ]
            assert int(np.argmin(distances)) == grid.cell_site[cell]


def test_drops_of_an_omnidirectional_cell_go_all_around() -> None:
    single = build_topology(Layout(sites=1, sectors=1, isd_m=ISD_M))
    drops = np.array([drop_point(1, entity, 0, 0, single) for entity in range(3000)])
    thirds = np.floor((np.rad2deg(np.arctan2(drops[:, 1], drops[:, 0])) + 30) % 360 / 120)
    assert np.bincount(thirds.astype(int), minlength=3) == pytest.approx([1000] * 3, abs=110)  # 4 sd
    assert np.hypot(*drops.T).max() <= ISD_M / math.sqrt(3) + 1e-6
