"""Query strings as data: what pixels send."""

import re
from typing import Any
from urllib.parse import parse_qsl

from ingestion.envelope import RejectReason
from ingestion.event_log import Received
from ingestion.normalise.lines import PartRefusedError

MOST_PARAMETERS = 1_000
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")


def parameters(received: Received) -> dict[str, str]:
    """The query's parameters; of one that is repeated the last counts. Raises PartRefusedError (unreadable) where there are too many."""
    try:
        pairs = parse_qsl(received.facts.get("query", ""), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise PartRefusedError(RejectReason.UNREADABLE, "The query has more than 1,000 parameters.") from None
    # a query may hold half a surrogate pair when it was read as text by another system
    return {_clean(name): _clean(value) for name, value in pairs}


def nested(flat: dict[str, str]) -> dict[str, Any]:
    """`properties.price=3` and `properties[price]=3` as {"properties": {"price": "3"}}; a name that is also a map's gives way to it."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = _BRACKETED.sub(r".\1", name).split(".")
        place = tree
        for step in path:
            inner = place.get(step)
            if not isinstance(inner, dict):
                inner = place[step] = {}
            place = inner
        if not isinstance(place.get(last), dict):
            place[last] = value
    return tree


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
