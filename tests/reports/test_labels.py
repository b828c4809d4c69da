"""Names beside points: where there is room nothing covers anything, and every place is what its box says."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from reports.labels import PLACES, Rectangle, label_column, place_labels

AREA = (0.0, 0.0, 400.0, 250.0)
inside = st.tuples(st.floats(20, 380), st.floats(20, 230))


def apart(one: Rectangle, other: Rectangle) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def around(x: float, y: float, radius: float) -> Rectangle:
    return x - radius, y - radius, x + radius, y + radius


@given(st.lists(inside, min_size=1, max_size=8))
def test_a_few_names_cover_neither_each_other_nor_a_point_nor_the_edge(points: list[tuple[float, float]]) -> None:
    size = (40.0, 9.0)
    found = place_labels(points, [size] * len(points), points, 4, AREA)
    boxes = [where.box(point, size) for where, point in zip(found, points, strict=True)]
    assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert all(apart(box, around(x, y, 4)) for box in boxes for x, y in points)
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= 400 and box[3] <= 250 for box in boxes)


def test_a_lone_name_stands_right_beside_its_point() -> None:
    (where,) = place_labels([(100.0, 100.0)], [(40.0, 10.0)], [(100.0, 100.0)], 4, AREA)
    assert where == (7, 0, "left", "center")
    assert where.box((100.0, 100.0), (40.0, 10.0)) == (107, 95, 147, 105)


def test_a_name_that_would_leave_the_area_on_the_right_stands_on_the_left() -> None:
    (where,) = place_labels([(390.0, 100.0)], [(40.0, 10.0)], [(390.0, 100.0)], 4, AREA)
    assert (where.dx, where.horizontal) == (-7, "right")


def test_points_in_one_place_get_names_in_several() -> None:
    point = (200.0, 100.0)
    found = place_labels([point] * 5, [(50.0, 10.0)] * 5, [point], 4, AREA)
    boxes = [where.box(point, (50.0, 10.0)) for where in found]
    assert all(apart(one, other) for one, other in combinations(boxes, 2))


def test_no_place_covers_its_own_point() -> None:
    assert all(apart(where.box((0.0, 0.0), (30.0, 10.0)), around(0, 0, 5)) for where in PLACES)


def test_a_name_does_not_stand_on_a_line_where_there_is_room() -> None:
    line = (105.0, 95.0, 300.0, 105.0)  # to the right of the point
    (where,) = place_labels([(100.0, 100.0)], [(40.0, 10.0)], [(100.0, 100.0)], 4, AREA, [line])
    assert (where.dx, where.horizontal) == (-7, "right")


heights = st.lists(st.floats(0, 100), min_size=1, max_size=9)


@given(heights)
def test_names_in_a_column_keep_their_gap_their_order_and_the_ends(wanted: list[float]) -> None:
    found = label_column(wanted, 10, 0, 100)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    assert all(found[above] - found[below] >= 10 - 1e-9 for below, above in pairwise(order))
    assert min(found) >= -1e-9 and max(found) <= 100 + 1e-9


@given(st.lists(st.floats(0, 100), min_size=2, max_size=5))
def test_names_in_a_column_stand_as_near_as_they_can(wanted: list[float]) -> None:
    """Against a general solver of the same least squares."""
    wanted = sorted(wanted)
    found = label_column(wanted, 10, 0, 100)
    rules = [{"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - 10} for i in range(len(wanted) - 1)]
    start = [25.0 * index for index in range(len(wanted))]

    def far(heights: list[float]) -> float:
        return sum((height - goal) ** 2 for height, goal in zip(heights, wanted, strict=True))

    solved = minimize(far, start, constraints=rules, bounds=[(0, 100)] * len(wanted), method="SLSQP")
    assert far(found) <= solved.fun + 1e-3


def test_a_column_that_is_too_short_shares_what_there_is() -> None:
    assert label_column([5, 5, 5], 10, 0, 10) == pytest.approx([0, 5, 10])
    assert label_column([], 10, 0, 100) == []
    assert label_column([50], 10, 0, 100) == [50]
