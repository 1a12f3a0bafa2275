"""Rows and pieces of texts as the arrays that the device's programs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from waltzjax.core.sampling import Settings
from waltzjax.engine.programs import Rows
from waltzjax.engine.requests import MAX_STOP_IDS
from waltzjax.engine.scheduler import Piece, SequenceState


def row_arrays(
    groups: Sequence[Sequence[SequenceState]],
    width: int,
    table: int,
    pages: int,
    page_size: int,
    stop_ids: Sequence[int],
) -> Rows:
    """``width`` rows for each group, padded with rows that draw nothing."""
    B = len(groups) * width

    def zeros(dtype: type, *more: int) -> np.ndarray:
        return np.zeros((B, *more), dtype)

    i32, f32 = np.int32, np.float32
    settings = Settings(zeros(f32), zeros(i32), np.ones(B, f32), zeros(f32))
    out = Rows(
        zeros(i32, table),
        np.full(B, pages, i32),
        zeros(i32),
        zeros(i32),
        zeros(i32),
        zeros(i32),
        zeros(np.uint32),
        np.full((B, MAX_STOP_IDS), -1, i32),
        settings,
    )
    for g, rows in enumerate(groups):
        for b, row in enumerate(rows, g * width):
            s = row.request.sampling
            stops = stop_ids if s.stop_ids is None else s.stop_ids
            out.table_BM[b, : len(row.pages)] = row.pages
            if row.position <= (len(row.pages) - 1) * page_size:
                out.fresh_B[b] = row.pages[-1]
            out.token_B[b] = row.newest
            out.position_B[b], out.drawn_B[b] = row.position, len(row.token_ids)
            out.left_B[b], out.seed_B[b] = row.left, row.request.seed
            out.stop_BK[b, : len(stops)] = stops
            settings.temperature[b], settings.top_k[b] = s.temperature, s.top_k
            settings.top_p[b], settings.min_p[b] = s.top_p, s.min_p
    return out


def guess_arrays(
    groups: Sequence[Sequence[SequenceState]],
    guesses: Mapping[SequenceState, Sequence[int]],
    width: int,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(guess_BT, guessed_B): up to ``count`` guesses for each of ``width`` rows of each group.
    Those that a row lacks repeat its last one, or its newest token where it has none."""
    B = len(groups) * width
    guess_BT, guessed_B = np.zeros((B, count), np.int32), np.zeros(B, np.int32)
    for g, rows in enumerate(groups):
        for b, row in enumerate(rows, g * width):
            guess = guesses.get(row, ())
            guess_BT[b] = guess[-1] if guess else row.newest
            guess_BT[b, : len(guess)], guessed_B[b] = guess, len(guess)
    return guess_BT, guessed_B


def piece_arrays(
    groups: Sequence[Sequence[Piece]], width: int, page_size: int, table: int
) -> tuple[np.ndarray, ...]:
    """(token_BP, start_B, live_B, table_BM): ``width`` pieces for each group, padded."""
    B = len(groups) * width
    token_BP, start_B = np.zeros((B, page_size), np.int32), np.zeros(B, np.int32)
    live_B, table_BM = np.zeros(B, bool), np.zeros((B, table), np.int32)
    for g, pieces in enumerate(groups):
        for b, piece in enumerate(pieces, g * width):
            token_BP[b, : len(piece.token_ids)] = piece.token_ids
            start_B[b], live_B[b] = piece.start, True
            table_BM[b, : len(piece.row.pages)] = piece.row.pages
    return token_BP, start_B, live_B, table_BM


def copy_arrays(
    groups: Sequence[Sequence[tuple[int, int]]], width: int, pages: int
) -> tuple[np.ndarray, ...]:
    """(source_B, target_B): ``width`` pages to copy for each group, padded with the target
    ``pages``, which there is not."""
    padded = [[*copies, *[(0, pages)] * (width - len(copies))] for copies in groups]
    return tuple(np.asarray(padded, np.int32).reshape(-1, 2).T)
