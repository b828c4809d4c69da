"""Names beside points: where there is room nothing covers anything, and every place is what its box says."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from reports.labels import PLACES, Box, place

AREA = (0.0, 0.0, 400.0, 250.0)
inside = st.tuples(st.floats(20, 380), st.floats(20, 230))


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


@given(st.lists(inside, min_size=1, max_size=8))
def test_a_few_names_cover_neither_each_other_nor_a_point_nor_the_edge(points: list[tuple[float, float]]) -> None:
    size = (40.0, 9.0)
    found = place(points, [size] * len(points), points, 4, AREA)
    boxes = [where.box(point, size) for where, point in zip(found, points, strict=True)]
    assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert all(apart(box, around(x, y, 4)) for box in boxes for x, y in points)
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= 400 and box[3] <= 250 for box in boxes)


def test_a_lone_name_stands_right_beside_its_point() -> None:
    (where,) = place([(100.0, 100.0)], [(40.0, 10.0)], [(100.0, 100.0)], 4, AREA)
    assert where == (7, 0, "left", "center")
    assert where.box((100.0, 100.0), (40.0, 10.0)) == (107, 95, 147, 105)


def test_a_name_that_would_leave_the_area_on_the_right_stands_on_the_left() -> None:
    (where,) = place([(390.0, 100.0)], [(40.0, 10.0)], [(390.0, 100.0)], 4, AREA)
    assert (where.dx, where.horizontal) == (-7, "right")


def test_points_in_one_place_get_names_in_several() -> None:
    point = (200.0, 100.0)
    found = place([point] * 5, [(50.0, 10.0)] * 5, [point], 4, AREA)
    boxes = [where.box(point, (50.0, 10.0)) for where in found]
    assert all(apart(one, other) for one, other in combinations(boxes, 2))


def test_no_place_covers_its_own_point() -> None:
    assert all(apart(where.box((0.0, 0.0), (30.0, 10.0)), around(0, 0, 5)) for where in PLACES)
