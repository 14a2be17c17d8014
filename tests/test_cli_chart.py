"""cli_chart: lines and rows of characters."""

from __future__ import annotations

import pytest

from trackflowd.cli_chart import line, row


def test_a_row_is_as_high_as_each_value_is_of_the_greatest() -> None:
    assert row([0, 1, 4, 8]) == "▁▂▅█"
    assert row([0, 1, 1000]) == "▁▂█"  # something is never nothing
    assert row([0, 0]) == "▁▁"
    assert row([]) == ""


def test_a_line_climbs_from_corner_to_corner() -> None:
    drawn = line([0, 100], 12, 2)
    assert [len(text) for text in drawn] == [12, 12]
    assert (drawn[0][:5], drawn[1][:5]) == ("100 ┤", "  0 ┤")
    assert drawn == ["100 ┤⠀⠀⠀⢀⡠⠔⠊", "  0 ┤⡠⠔⠊⠁⠀⠀⠀"]


def test_a_line_leaps_without_a_gap() -> None:
    [column] = {text[-1] for text in line([0, 0, 0, 9], 6, 3)[1:2]}
    assert column != "⠀"


@pytest.mark.parametrize("values", [[], [0], [5], [0, 0], [3] * 5000, list(range(77))])
def test_any_number_of_values_fits(values: list[float]) -> None:
    drawn = line(values, 40, 4)
    assert [len(text) for text in drawn] == [40] * 4


def test_a_peak_among_more_values_than_dots_is_seen() -> None:
    values = [0.0] * 5000
    values[2600] = 7.0
    assert any(character not in " ┤7⠀" for character in line(values, 20, 4)[0])
