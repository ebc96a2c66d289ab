"""Main jobs that are repeated: what of their intervals is kept, and when two contradict."""

import json

import pytest

from tests.test_report import made
from tools import repeats


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([(1.0, 0.9, 1.1), (1.05, 1.0, 1.2)], 0),
        ([(1.0, 0.9, 1.1), (1.3, 1.2, 1.4)], 1),
        ([(1.3, 1.2, 1.4), (1.0, 0.9, 1.1)], 1),
        ([(1.0, 0.9, 1.1), (1.3, 1.2, 1.4), (1.6, 1.5, 1.7)], 3),
        ([(1.0, 0.9, 1.1)], 0),
    ],
)
def test_intervals_that_exclude_each_other_contradict(runs, found):
    assert repeats.contradictions(runs) == found


def test_half_a_width_is_a_share_of_the_ratio():
    assert repeats.half_width((2.0, 1.6, 2.5)) == pytest.approx(0.25)


def test_the_pairs_intervals_of_a_run_are_kept():
    found = repeats.intervals(made())
    value, low, high = found["training step, lenet5, batch 128, cpu"]
    assert low <= value <= high
    assert value == pytest.approx(0.5, rel=0.01)
    assert len(found) == 6


def test_what_repeated_runs_show_is_told(monkeypatch, tmp_path):
    """Of rows that at least two runs have; one run shows nothing."""
    monkeypatch.setattr(repeats, "REPEATS", tmp_path / "repeats.json")
    assert repeats.lines() == []
    runs = [
        {"began": "2026-11-29 16:00", "rows": {"step": [1.0, 0.9, 1.1], "alone": [1, 1, 1]}},
        {"began": "2026-11-29 17:00", "rows": {"step": [1.3, 1.2, 1.4]}},
    ]
    repeats.REPEATS.write_text(json.dumps(runs))
    text = "\n".join(repeats.lines())
    assert "In 1 of 1 pairs of runs" in text
    assert "0 of 2 intervals" in text.replace("\n", " ")
    assert "| step | 2 | 1.150 | 1.000 to 1.300 | 9.3% | 1 |" in text
    assert "| alone" not in text
    runs[1]["machine"] = "another one"
    repeats.REPEATS.write_text(json.dumps(runs))
    assert repeats.lines() == []
