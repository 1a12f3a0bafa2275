"""The overlong punishment, against cases worked by hand from the equation."""

import pytest

from waltzjax.rlvr.signals.format import overlong_punishment

EXACT = 1e-12


@pytest.mark.parametrize(
    ("tokens", "most", "buffer", "expected"),
    [
        (0, 100, 20, 0.0),
        (80, 100, 20, 0.0),  # the last that is free
        (81, 100, 20, -1 / 20),
        (85, 100, 20, -0.25),
        (90, 100, 20, -0.5),
        (99, 100, 20, -19 / 20),
        (100, 100, 20, -1.0),
        (101, 100, 20, -1.0),  # cut off
        (10_000, 100, 20, -1.0),
        (18_432, 20_480, 4_096, -0.5),  # the paper's lengths: 16,384 expected, 4,096 more
        (25, 100, 100, -0.25),  # the buffer is all of it
        (100, 100, 0, 0.0),  # off
        (500, 100, 0, 0.0),
    ],
)
def test_by_hand(tokens, most, buffer, expected):
    assert overlong_punishment(tokens, most, buffer) == pytest.approx(expected, abs=EXACT)


def test_never_rises_with_length():
    got = [overlong_punishment(n, 64, 16) for n in range(80)]
    assert got == sorted(got, reverse=True) and min(got) == -1.0 and max(got) == 0.0


@pytest.mark.parametrize("buffer", [-1, 101])
def test_a_buffer_that_does_not_fit_is_refused(buffer):
    with pytest.raises(ValueError, match=f"buffer: got {buffer} tokens with most=100; allowed"):
        overlong_punishment(50, 100, buffer)
