"""How much comes out of a gzip stream, counted while it is received and not kept."""

import zlib

from ingestion.upload_errors import UploadError

MOST_MEMBERS = 10_000
_BLOCK = 1 << 20


class UnpackedCount:
    """Feed it the stream, then close it: raises UploadError where more comes out than may, or it is damaged or cut off."""

    def __init__(self, limit_bytes: int) -> None:
        self._left, self._limit = limit_bytes, limit_bytes
        self._member = zlib.decompressobj(31)
        self._members = 1

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the stream."""
        try:
            while chunk:
                if self._member.eof:
                    chunk = chunk.lstrip(b"\0")  # padding, which gzip passes over as well
                    if not chunk:
                        return
                    self._member = zlib.decompressobj(31)
                    self._members += 1
                self._left -= len(self._member.decompress(chunk, _BLOCK))
                if self._left < 0 or self._members > MOST_MEMBERS:
                    raise UploadError("too_large", f"Unpacked, the file is larger than {self._limit:,} bytes.")
                chunk = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise UploadError("wrong_format", "The file is said to be gzip and is not, or is damaged.") from None

    def close(self) -> None:
        """There are no more."""
        self._left -= len(self._member.flush())
        if not self._member.eof:
            raise UploadError("wrong_format", "The file is gzip and cut off before its end.")
