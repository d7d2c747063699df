"""Base64 as trackers send it: both alphabets, with or without padding."""

import binascii

from ingestion.envelope import RejectReason
from ingestion.normalise.lines import PartRefusedError

_TO_STANDARD = str.maketrans("-_ ", "+/+", "=\r\n")  # a query turns + into a blank


def from_base64(name: str, text: str) -> bytes:
    """The bytes that the text stands for. Raises PartRefusedError (bad_value), naming the field."""
    standard = text.translate(_TO_STANDARD)
    try:
        return binascii.a2b_base64((standard + "=" * (-len(standard) % 4)).encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise PartRefusedError(RejectReason.BAD_VALUE, f"{name} is not base64.") from None
