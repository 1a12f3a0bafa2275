"""The soft punishment of answers that near the length limit."""

from __future__ import annotations


def overlong_punishment(tokens: int, most: int, buffer: int) -> float:
    """DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13), in [-1, 0].

    0 up to ``most - buffer`` tokens, then linear down to -1 at ``most``, and -1 beyond, where the
    answer was cut off.

    Args:
      tokens: length of the answer, in tokens.
      most: the longest that may be generated, in tokens.
      buffer: over how many tokens before ``most`` the punishment grows; 0: it is off.

    Raises ValueError if ``buffer`` is negative or exceeds ``most``.
    """
    if not 0 <= buffer <= most:
        raise ValueError(
            f"buffer: got {buffer} tokens with most={most}; allowed are 0 (no punishment) to most: "
            "choose a shorter buffer or allow longer answers"
        )
    if buffer == 0:
        return 0.0
    return -min(max(tokens - (most - buffer), 0), buffer) / buffer
