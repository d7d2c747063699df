"""What libraries send for JSON and is none: mended, so that one event of a batch does not spoil the others."""

import re

from ingestion.lone_surrogates import without_lone_surrogates

_NO_NUMBERS = (b"NaN", b"Infinity")
# a text that never ends is taken to the end at once: begun again at each quote in it, a body of quotes would take hours
_TEXT_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|\b(?:NaN|Infinity)\b', re.DOTALL)
_OUT_OF_RANGE = b"1e999"


def mended(document: bytes) -> bytes:
    """The JSON with every lone surrogate as U+FFFD, and with `NaN` and `Infinity`, which Python writes, as a number that is out of range.

    Such a number can be told from all others: whoever reads its event refuses it as a bad number, and reads the events beside it.
    """
    document = without_lone_surrogates(document)
    if not any(word in document for word in _NO_NUMBERS):
        return document
    return _TEXT_OR_NO_NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else _OUT_OF_RANGE, document)
