"""The points at which the cost of a slot is measured."""

from benchmarks import curves


def test_points_grow_in_one_thing_at_a_time() -> None:
    points = curves._points()
    by_ues = [(s.n_cell, s.n_ue) for name, s in points.items() if name.startswith("UEs")]
    by_cells = [(s.n_cell, s.n_ue) for name, s in points.items() if name.startswith("cells")]
    by_load = [(s.n_cell, s.n_ue, s.load) for name, s in points.items() if name.startswith("load")]
    assert by_ues == [(57, 1140), (57, 2850), (57, 5700)]
    assert by_cells == [(3, 30), (21, 210)]
    assert by_load == [(57, 570, 0.25), (57, 570, 0.5), (57, 570, 1.0)]
