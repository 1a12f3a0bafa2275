"""The rows of a table file, one by one: .tsv, .csv, .jsonl or .parquet.

A row that cannot be read comes with the reason instead of its fields, so that whoever reads on can
report all of them together. Nothing is skipped, and no file is held in memory. Of a table with a
header only the columns that somebody uses are looked at: what the others hold spoils no row.
"""

from __future__ import annotations

import codecs
import csv
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_FIELD = 131_072  # characters of a field in use; a longer one has swallowed other rows
LONGEST_READ = 2**24  # of any other field, which may hold whole documents


class Row(NamedTuple):
    where: str  # "train.tsv:17", the line on which the row begins
    fields: dict[str, Any]
    problem: str = ""  # why there are no fields


class Table(NamedTuple):
    """``columns``: none for JSON Lines, where each row names its own; of the others ``rows`` reads
    those columns it is told to."""

    columns: tuple[str, ...]
    rows: Callable[[Collection[str]], Iterator[Row]]


def open_table(path: Path) -> Table:
    """Raises FileNotFoundError, and ValueError for a file that is no table at all."""
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path}: unknown kind of file; known are {', '.join(_READERS)}")
    return _READERS[path.suffix.lower()](path)


def read_objects(path: Path) -> Iterator[Row]:
    """The JSON object of each line of a file."""
    with path.open("rb") as file:
        yield from json_objects(file, str(path))


def json_objects(lines: Iterable[bytes], name: str) -> Iterator[Row]:
    """The JSON object of each line of an open file or an ``io.BytesIO``; errors call it ``name``. A
    byte order mark at the start is no part of the first line."""
    for number, line in enumerate(lines, start=1):
        where = f"{name}:{number}"
        try:
            yield Row(where, _json_object(_without_mark(line) if number == 1 else line))
        except ValueError as error:
            yield Row(where, {}, str(error))


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        text = line.rstrip(b"\r\n").decode("utf-8")
        value = json.loads(text, object_pairs_hook=_named_once)
    except _Repeated:
        raise
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(error)) from error
    except (ValueError, RecursionError) as error:
        blank = "the line is blank; remove it" if not line.strip() else error
        raise ValueError(f"not JSON: {blank}") from error
    if not isinstance(value, dict):
        raise ValueError(f"not a JSON object but {type(value).__name__}")
    return value


class _Repeated(ValueError):
    """A JSON object with a key twice, of which ``json`` alone would keep the last in silence."""


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Repeated(f"{_repeated([key for key, _ in pairs])} more than once; keep one")
    return fields


def _repeated(names: Iterable[str]) -> str:
    """The names that come again, each in quotes."""
    return ", ".join(repr(name) for name, count in Counter(names).items() if count > 1)


def _without_mark(line: bytes) -> bytes:
    return line.removeprefix(codecs.BOM_UTF8)


def _not_utf8(error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"not UTF-8: byte 0x{byte:02x} at offset {error.start} of the line; save it as UTF-8"


def _json_lines(path: Path) -> Table:
    path.open("rb").close()  # a file that is not there is said now
    return Table((), lambda used: read_objects(path))


class _Lines:
    """The lines of a text file for ``csv``; ``bad`` are those met that are not UTF-8."""

    def __init__(self, path: Path) -> None:
        self.path, self.bad = path, list[str]()

    def __iter__(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            # Only b"\n" ends a line: one with a stray byte must not cut the rows after it.
            for number, line in enumerate(file, start=1):
                line = _without_mark(line) if number == 1 else line
                try:
                    yield line.decode("utf-8")
                except UnicodeDecodeError as error:
                    self.bad.append(f"line {number} is {_not_utf8(error)}")
                    yield line.decode("utf-8", "replace")


def _delimited(path: Path, delimiter: str) -> Table:
    """Quoted as pandas and the hub do: a field may be in double quotes, doubled inside it."""
    csv.field_size_limit(LONGEST_READ)  # of the whole process, and looked at as lines are read
    lines = _Lines(path)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = tuple(next(reader, ()))
    except csv.Error as error:
        raise ValueError(f"{path}:1: the header cannot be read: {error}") from error
    if lines.bad:
        raise ValueError(f"{path}: the header on {lines.bad[0]}")
    _check_header(f"{path}:1", columns)
    return Table(columns, partial(_delimited_rows, path, columns, reader, lines))


def _check_header(where: str, columns: tuple[str, ...]) -> None:
    """Raises ValueError for no columns, and for two of one name: which one is meant?"""
    if not columns or len(set(columns)) < len(columns):
        more = f": {_repeated(columns)} more than once; rename or remove one" if columns else ""
        raise ValueError(f"{where}: wanted a header of different names, got {list(columns)}{more}")


def _delimited_rows(
    path: Path, columns: tuple[str, ...], reader: Any, lines: _Lines, used: Collection[str]
) -> Iterator[Row]:
    while True:
        where, fields, problem = f"{path}:{reader.line_num + 1}", list[str](), ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = _quoting(error)
        if lines.bad:
            problem = lines.bad[0]
            lines.bad.clear()
        elif not problem and not fields:
            problem = "the line is blank; remove it"
        elif not problem and len(fields) != len(columns):
            problem = (
                f"{len(fields)} fields, but the header names {len(columns)}: {', '.join(columns)}"
            )
        of_use: dict[str, str] = {}
        if not problem:
            named = zip(columns, fields, strict=True)
            of_use = {name: text for name, text in named if name in used}
            if max(map(len, of_use.values()), default=0) > LONGEST_FIELD:
                of_use, problem = {}, _too_long(LONGEST_FIELD)
        yield Row(where, of_use, problem)


def _quoting(error: csv.Error) -> str:
    if "field limit" in str(error):
        return _too_long(LONGEST_READ)
    return f"quoting: {error}; quote the whole field and double the quotes inside it"


def _too_long(limit: int) -> str:
    return (
        f"a field of more than {limit:,} characters; close the quote it begins with, or shorten it"
    )


_ARROWS = (ValueError, OSError, NotImplementedError)  # what pyarrow's errors of a file are, too


def _parquet(path: Path) -> Table:
    path.open("rb").close()
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: Parquet is read with pyarrow, which is not here ({error}); "
            "pip install 'waltzjax[data]', or save the file as .tsv or .csv"
        ) from error
    try:
        file = parquet.ParquetFile(path)
        columns = tuple(file.schema_arrow.names)
    except _ARROWS as error:
        raise ValueError(f"{path}: not a Parquet file ({error})") from error
    _check_header(str(path), columns)
    return Table(columns, partial(_parquet_rows, path, file))


def _parquet_rows(path: Path, file: Any, used: Collection[str]) -> Iterator[Row]:
    number = 0
    columns = [name for name in file.schema_arrow.names if name in used]
    try:
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            for i in range(batch.num_rows):
                number += 1
                yield _parquet_row(f"{path}: row {number}", batch.slice(i, 1))
    except _ARROWS as error:
        where = f"{path}: row {number + 1}"
        yield Row(where, {}, f"damaged, with all rows from here on ({error}); fetch the file again")


def _parquet_row(where: str, row: Any) -> Row:
    try:
        [fields] = row.to_pylist()
    except UnicodeDecodeError as error:
        return Row(where, {}, f"not UTF-8 ({error})")
    except (ValueError, ArithmeticError, LookupError) as error:  # no value that Python has
        why = textwrap.shorten(str(error), 100, placeholder=" ...")  # pyarrow's may be a paragraph
        return Row(where, {}, f"a value cannot be read ({why})")
    # pandas writes what is missing as NaN where a whole column is.
    return Row(where, {key: None if value != value else value for key, value in fields.items()})


_READERS: dict[str, Callable[[Path], Table]] = {
    ".tsv": partial(_delimited, delimiter="\t"),
    ".csv": partial(_delimited, delimiter=","),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
