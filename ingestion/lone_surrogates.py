r"""Lone surrogates in JSON: `"\ud83d"` alone. Browsers send them where a text was cut inside an emoji; strict parsers refuse all of it."""

import re

_HEX = rb"[0-9a-fA-F]{2}"
_FOUND = re.compile(
    rb"(?:\\\\)+"  # a backslash that stands for itself: what follows it is no escape
    rb"|\\u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX + rb"|(\\u[dD][89a-fA-F]" + _HEX + rb")"
)


def without_lone_surrogates(document: bytes) -> bytes:
    """The JSON with every lone surrogate as U+FFFD. All else stays, and no byte moves."""
    return _FOUND.sub(lambda found: rb"\ufffd" if found[1] else found[0], document)
