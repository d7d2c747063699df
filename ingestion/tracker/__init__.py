"""Weft's browser tracker, `weft.js`: readable here, small when it is served."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from itertools import product
from string import ascii_letters

from rjsmin import jsmin

_PRIVATE_NAME = re.compile(r"(?<![\w$])_[A-Za-z]\w*")
"""Names of weft.js that are nobody else's: no text and no property in it looks like one (and no text holds `;}`, `true` or `false`)."""


@cache
def tracker_source() -> bytes:
    """The tracker as browsers get it (UTF-8 JavaScript): without comments and indents, its private names shortened."""
    source = resources.files(__package__).joinpath("weft.js").read_text(encoding="utf-8")
    return _with_short_names(jsmin(source)).encode()


def snippet(collector_url: str, write_key: str, settings: Mapping[str, object]) -> str:
    """The element that a page puts into its head: it fetches the tracker, and keeps the calls that are made until it is there."""
    script = resources.files(__package__).joinpath("snippet.js").read_text(encoding="utf-8").rstrip()
    values = {
        '"COLLECTOR/weft.js"': _as_script(f"{collector_url.rstrip('/')}/weft.js"),
        '"WRITE_KEY"': _as_script(write_key),
        "SETTINGS": _as_script(dict(settings)),
    }
    for place, value in values.items():
        script = script.replace(place, value)
    return f"<script>\n{script}\n</script>"


def _as_script(value: object) -> str:
    """A value as JavaScript that can stand in an HTML page: no text in it can end the element."""
    return json.dumps(value).replace("<", "\\u003c")


def _with_short_names(script: str) -> str:
    taken = set(re.findall(r"[\w$]+", script))
    candidates = ("".join(letters) for length in (1, 2) for letters in product(ascii_letters + "$_", repeat=length))
    free = (name for name in candidates if name not in taken)
    shortened = {name: next(free) for name, _ in Counter(_PRIVATE_NAME.findall(script)).most_common()}
    script = _PRIVATE_NAME.sub(lambda found: shortened[found[0]], script)
    for longer, shorter in ((r"[;,]}", "}"), (r"\bfalse\b", "!1"), (r"\btrue\b", "!0")):
        script = re.sub(longer, shorter, script)
    return script
