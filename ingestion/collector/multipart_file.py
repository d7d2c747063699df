"""The one file of a multipart/form-data body, handed on as it comes: nothing is gathered, whatever a form claims."""

import logging
from collections.abc import Iterator

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from ingestion.collector.answers import Refusal

logging.getLogger("python_multipart").setLevel(
    logging.ERROR
)  # it warns of every broken form: a sender could fill the disk

_HEADER_BYTES = 16_384
_OTHER_BYTES = 65_536
_MOST_PARTS = 20


class MultipartFile:
    """Feed it the body; it yields the file's bytes. `name` is known once the first of them came."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:
            raise _broken()
        self.name: str | None = None
        self.is_whole = False
        self._is_file = False
        self._parts, self._other, self._header_bytes = 0, 0, 0
        self._field, self._value, self._headers = b"", b"", {}  # type: ignore[var-annotated]
        self._ready: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What of the chunk belongs to the file. Raises Refusal (400) for a form that cannot be read, or with two files."""
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise _broken() from None
        ready, self._ready = self._ready, []
        yield from ready

    def end(self) -> None:
        """Raises Refusal (400) where the form is not whole, or held no file."""
        if not self.is_whole:
            raise _broken()
        if self.name is None:
            raise Refusal(400, "no_file", "The form holds no file; send it as a part with a filename.")

    def _part_begins(self) -> None:
        self._parts += 1
        self._headers = {}
        if self._parts > _MOST_PARTS:
            raise _broken()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._is_file = b"filename" in options
        if self._is_file:
            if self.name is not None:
                raise Refusal(400, "two_files", "The form holds more than one file; send one a request.")
            self.name = options[b"filename"].decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._ready.append(data[start:end])
            return
        self._other += end - start
        if self._other > _OTHER_BYTES:
            raise _broken()

    def _end(self) -> None:
        self.is_whole = True

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > _HEADER_BYTES:
            raise _broken()


def _broken() -> Refusal:
    return Refusal(400, "invalid_form", "The form is not valid multipart/form-data, or is cut off.")
