"""Stop strings: where a text ends, wherever its tokens' borders lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

TAIL = 8  # tokens before the newest ones that may change how these read
DECODERS_RAISE = (ValueError, TypeError, LookupError, OverflowError)


class UnreadableTokens(ValueError):
    """A tokenizer cannot decode what was drawn."""


def stopped_by_text(
    token_ids: Sequence[int],
    new: int,
    strings: Sequence[str],
    decode: Callable[[Sequence[int]], str],
) -> int:
    """With how many tokens the text first holds one of ``strings``, one of the newest ``new``
    being part of it; 0: it does not.

    Raises:
      UnreadableTokens: ``decode`` fails.
    """
    total = len(token_ids)
    # A token is a byte of text at least.
    start = max(0, total - new - max(len(s.encode()) for s in strings) - TAIL)

    def holds(tokens: int) -> bool:
        try:
            text = decode(token_ids[start:tokens])
        except DECODERS_RAISE as error:
            raise UnreadableTokens(f"the tokens drawn cannot be decoded ({error!r})") from error
        return any(s in text for s in strings)

    if not holds(total):
        return 0
    return next(n for n in range(total - new + 1, total + 1) if holds(n))
