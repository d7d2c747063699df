"""What a destination said, without what it may say about a person."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST_WORDS = 300
_SHORTEST_VALUE = 3
_HIDDEN = "[hidden]"
_PATTERNS = (
    re.compile(r"https?://\S+", re.IGNORECASE),
    re.compile(r"[^\s@\"'<>(),;:]+(?:@|%40)[^\s@\"'<>(),;:]+"),
    re.compile(r"\b(?:Bearer|Basic)\s+\S+", re.IGNORECASE),
    re.compile(r"\b(?=[A-Za-z0-9_\-+/=.]*\d)(?=[A-Za-z0-9_\-+/=.]*[A-Za-z])[A-Za-z0-9_\-+/=.]{20,}"),
    re.compile(r"\+?\d(?:[\s().\-/]*\d){6,}"),
)
"""Addresses with what they may carry, e-mail addresses, credentials, tokens and hashes, phone numbers and other long numbers."""


def redacted(words: str | None, payload: Mapping[str, Any]) -> str | None:
    """At most LONGEST_WORDS characters on one line, without the payload's values and without what looks like personal data."""
    if not words:
        return None
    text = words[: 10 * LONGEST_WORDS]
    for value in sorted(set(_values(payload)), key=len, reverse=True):
        text = re.sub(re.escape(value), _HIDDEN, text, flags=re.IGNORECASE)
    for pattern in _PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def _values(payload: object) -> Iterable[str]:
    """Every text and number that is sent, at any depth; very short ones say nothing about anybody and would hide half of the words."""
    if isinstance(payload, Mapping):
        for value in payload.values():
            yield from _values(value)
    elif isinstance(payload, list | tuple | set | frozenset):
        for value in payload:
            yield from _values(value)
    elif payload is not None and not isinstance(payload, bool):
        text = str(payload).strip()
        if len(text) >= _SHORTEST_VALUE:
            yield text
