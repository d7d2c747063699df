"""Identifiers as a person types them on the command line: `email:anna@example.com`, or `@file` with one a line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from identity.blocked import block_reasons
from identity.normalise import normalise
from identity.rules import Rules
from identity.tables import IDENTIFIERS
from orchestration.decision_records import Identifier
from orchestration.errors import DecisionError
from orchestration.warehouse import Connection

MOST = 100_000
"""Identifiers in one decision; more is a mistake in a file, not a decision about people."""


def parse_all(texts: Sequence[str], rules: Rules) -> tuple[Identifier, ...]:
    """Every identifier once, normalised, in the order given. Raises DecisionError with one sentence."""
    names = dict.fromkeys(parse(text, rules) for text in _expanded(texts))
    if len(names) > MOST:
        raise DecisionError(f"A decision names at most {MOST:,} identifiers, not {len(names):,}.")
    return tuple(names)


def parse(text: str, rules: Rules) -> Identifier:
    """One identifier as the engine knows it. Raises DecisionError with one sentence."""
    if not _is_text(text):
        raise DecisionError("An identifier holds bytes that are not text; write type:value in UTF-8.")
    kind, colon, value = text.strip().partition(":")
    if not colon:
        raise DecisionError(f"{_shown(text)} is no identifier; write type:value, such as email:anna@example.com.")
    if kind not in rules.identifier_types:
        known = ", ".join(rules.identifier_types)
        raise DecisionError(f"There is no identifier type {_shown(kind)}; the rule file has {known}.")
    normal = normalise(kind, value, rules.default_country)
    if normal is None:
        raise DecisionError(f"{_shown(text)} cannot be read as {kind}; look at the value after the colon.")
    return kind, normal


def shown(name: Identifier) -> str:
    """The identifier as a person would type it."""
    return ":".join(name)


def blocked_by(names: Iterable[Identifier], rules: Rules) -> dict[Identifier, str]:
    """The rule that blocks each of the identifiers that are blocked."""
    names = list(names)
    rows = [{"identifier_id": "", "identifier_type": kind, "identifier_value": value} for kind, value in names]
    reasons = block_reasons(pa.Table.from_pylist(rows, schema=IDENTIFIERS), rules).to_pylist()
    return {name: reason for name, reason in zip(names, reasons, strict=True) if reason is not None}


@dataclass(frozen=True)
class Standing:
    """What the served build says of an identifier: 'member', 'hot', 'blocked' or 'shared', and its customer where it has one."""

    identifier_id: str
    standing: str
    customer_id: str | None


def find_standing(served: Connection, names: Sequence[Identifier]) -> dict[Identifier, Standing]:
    """How the identifiers stand in the served build; those that it has not seen are missing."""
    found: dict[Identifier, Standing] = {}
    for first in range(0, len(names), 500):
        some = names[first : first + 500]
        marks = ", ".join(["(?, ?)"] * len(some))
        rows = served.rows(
            "select identifier_type, identifier_value, identifier_id, standing, customer_id from identity.nodes "
            f"where (identifier_type, identifier_value) in ({marks})",
            [part for name in some for part in name],
        )
        found |= {(kind, value): Standing(*rest) for kind, value, *rest in rows}
    return found


def _expanded(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        if text.startswith("@"):
            yield from _lines(Path(text[1:]))
        else:
            yield text


def _lines(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise DecisionError(
            f"{file} cannot be read ({error.strerror}); it should hold one identifier a line."
        ) from None
    except UnicodeDecodeError:
        raise DecisionError(f"{file} is not UTF-8 text; it should hold one identifier a line.") from None
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise DecisionError(f"{file} holds no identifier; it should hold one a line, such as email:anna@example.com.")
    return names


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes of the command line that are not UTF-8
        return False
    return "\x00" not in text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
