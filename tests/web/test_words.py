"""Sentences and numbers that the server writes for the page."""

import pytest

from triscope.web.described import number_text
from triscope.web.job_routes import words_of

NUMBERS = [
    0.0,
    1.0,
    -1.5,
    3.14159,
    0.001,
    0.00099999,
    -2.5e-7,
    1234.56,
    12345.678,
    99999.0,
    99999.9,
    1e5,
    -3.21e12,
    1e-30,
]
JOB = {"state": "running", "index": 0, "total": 1, "ahead": 0, "seconds": 0.0, "score": None, "error": None}


def test_numbers_are_written_as_the_scripts_write_them(opened):
    script = "async (values) => { const { told } = await import('./page/h.js'); return values.map(told); }"
    assert [number_text(value) for value in NUMBERS] == opened.page.evaluate(script, NUMBERS)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "waiting"}, "starting …"),
        ({"state": "waiting", "ahead": 3}, "waiting: 3 before it"),
        ({}, "working …"),
        ({"index": 9, "total": 64, "seconds": 3.0, "score": -1e-4}, "step 9 of 64, score −1.00e−4, 3.0 steps a second"),
        ({"state": "paused", "index": 2, "total": 9, "score": 1.0}, "paused at step 2 of 9, score 1"),
        ({"state": "cancelled"}, "cancelled"),
        ({"state": "cancelled", "index": 2, "total": 9}, "cancelled at step 2 of 9; the latest result is kept"),
        ({"state": "failed", "error": "It has no ReLU."}, "It has no ReLU."),
        ({"state": "done", "seconds": 0.25}, "done, 0.2 s"),
        ({"state": "done", "index": 9, "total": 9, "seconds": 2.0, "score": 7.0}, "done, step 9 of 9, score 7, 2.0 s"),
    ],
)  # fmt: skip
def test_a_job_says_how_far_it_is(state, words):
    assert words_of({**JOB, **state}) == words
