"""Rows of a .json file: an array of objects, one object, or objects one after another."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np

from ingestion.file_errors import FileError
from ingestion.records import BYTE_ORDER_MARK, Rows, line_faults, line_rows

BATCH_ROWS = 10_000
_BETWEEN = " \t\r\n,"


def json_rows(stream: BinaryIO, file_name: str) -> Iterator[Rows]:
    """Rows of a JSON document; line ends between its tokens become blanks. One object a line is read as NDJSON.

    Raises FileError where the document is not JSON: an array with one broken element has no rows to tell apart.
    """
    if _is_one_object_per_line(stream):
        yield from line_rows(stream)
        return
    elements = (element.replace(b"\n", b" ").replace(b"\r", b" ") for element in _elements(stream, file_name))
    number = 1
    while batch := list(islice(elements, BATCH_ROWS)):
        yield _as_rows(batch, number)
        number += len(batch)


def _is_one_object_per_line(stream: BinaryIO) -> bool:
    first = stream.readline().removeprefix(BYTE_ORDER_MARK).strip()
    while first == b"" and (line := stream.readline()):
        first = line.strip()
    stream.seek(0)
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _elements(stream: BinaryIO, file_name: str) -> Iterator[bytes]:
    try:
        text = stream.read().removeprefix(BYTE_ORDER_MARK).decode("utf-8").strip()
        decoder = json.JSONDecoder()
        is_array = text.startswith("[")
        at, end = (1, len(text) - 1) if is_array else (0, len(text))
        if is_array and not text.endswith("]"):
            raise ValueError("the array is not closed")
        while True:
            while at < end and text[at] in _BETWEEN:
                at += 1
            if at >= end:
                return
            _, after = decoder.raw_decode(text, at)
            yield text[at:after].encode()
            at = after
    except (ValueError, RecursionError) as error:
        raise FileError(f"{file_name} is not a JSON document: {_why(error)}; nothing of it was landed.") from error


def _why(error: Exception) -> str:
    """What is wrong with the document, without a piece of it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} in line {error.lineno}"
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def _as_rows(elements: list[bytes], first_number: int) -> Rows:
    data = b"\n".join(elements)
    lengths = np.array([len(element) for element in elements], np.int64)
    ends = np.cumsum(lengths + 1) - 1
    starts = ends - lengths
    return Rows(data, first_number, starts, ends, line_faults(data, starts, ends))
