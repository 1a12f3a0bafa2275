"""A file of lines that another process writes, read as it grows: each call reads what is new."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

Record = dict[str, Any]
Parse = Callable[[bytes], Record | None]  # a line without its end; None: it holds no record

BLOCK = 2**17  # bytes read at a time: what bounds the memory
TAIL = 4096  # bytes before the place reached that are compared with those read before


class News(NamedTuple):
    """Records that are new. ``rewound``: the file is another one than before, or its content is,
    and ``records`` begin at its first line again."""

    records: list[Record]
    rewound: bool


def parse_json(line: bytes) -> Record | None:
    """The JSON object of a line; None where it holds none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            record = json.loads(line)  # takes NaN and Infinity, which orjson refuses
        except ValueError:
            return None
    return record if type(record) is dict else None


class Follower:
    """Reads ``path`` line by line, whoever writes it and however.

    A last line without its end is left for a later call. A file that was replaced, or is shorter,
    or differs in the bytes last read, is read from its beginning: that is what a resumed trainer
    leaves, which drops the records of steps it does again. A file that is not there has no news.

    unreadable: how many whole lines held no record.
    """

    def __init__(self, path: Path, parse: Parse = parse_json) -> None:
        self.path, self.unreadable = path, 0
        self._parse, self._inode, self._at, self._tail = parse, (0, 0), 0, b""

    def read(self) -> Iterator[News]:
        """Yield what was written since the last call, in parts of about 128 KiB.

        Raises:
          OSError: the file is there but cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            rewound = self._rewind(file)
            file.seek(self._at)
            rest = b""
            while block := file.read(BLOCK):
                whole, end, rest = (rest + block).rpartition(b"\n")
                if end:
                    self._at += len(whole) + 1
                    self._tail = (self._tail + whole[-TAIL:] + end)[-TAIL:]
                    yield News(self._records(whole), rewound)
                    rewound = False
            if rewound:
                yield News([], True)

    def _rewind(self, file: BinaryIO) -> bool:
        """Go back to the beginning if this is not the file read so far; returns whether it is so
        and anything had been read."""
        status = os.fstat(file.fileno())
        inode = (status.st_dev, status.st_ino)
        file.seek(self._at - len(self._tail))
        if inode == self._inode and file.read(len(self._tail)) == self._tail:
            return False
        begun = self._at > 0
        self._inode, self._at, self._tail, self.unreadable = inode, 0, b"", 0
        return begun

    def _records(self, lines: bytes) -> list[Record]:
        parsed = [self._parse(line) for line in lines.split(b"\n") if line]
        records = [record for record in parsed if record is not None]
        self.unreadable += len(parsed) - len(records)
        return records
