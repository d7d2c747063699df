"""What a Redis must be set to before anything that it takes may be acknowledged, and how much room it has left."""

from collections.abc import Mapping

SETTINGS = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory", "maxmemory-policy")
"""The settings that are looked at, again and again: they can be changed while Redis runs."""

WANTED = {
    "appendonly": ("yes", "without it nothing is on disk"),
    "appendfsync": ("always", "otherwise it answers before what it took is on disk"),
    "no-appendfsync-on-rewrite": ("no", "otherwise fsync is off while the file is written anew"),
    "maxmemory-policy": ("noeviction", "otherwise it forgets entries that nobody has read"),
}
CLOCK_TOLERANCE_SECONDS = 2.0
ROOM = 0.75
"""The share of maxmemory from which on senders are asked to wait; the rest is for what readers have yet to make of it."""


def unsafe_reason(settings: Mapping[str, str], *, role: str, clock_offset_seconds: float) -> str | None:
    """One sentence that says why what this Redis takes could be lost, and what to set; None where it is safe."""
    for name, (wanted, why) in WANTED.items():
        if settings.get(name) != wanted:
            return f"The event log's Redis needs `{name} {wanted}`: {why}."
    if not int(settings.get("maxmemory") or 0):
        return "The event log's Redis needs a `maxmemory`, so that it can say no before the machine runs out of memory."
    if role != "master":
        return f"The event log's Redis is a {role}; WEFT_LOG_URL must lead to the master."
    if abs(clock_offset_seconds) > CLOCK_TOLERANCE_SECONDS:
        return f"The event log's clock and this machine's are {abs(clock_offset_seconds):.0f} s apart; set both by NTP."
    return None


def write_failure(persistence: Mapping[str, str]) -> str | None:
    """One sentence where Redis says that it could not write its file."""
    if persistence.get("loading") == "1":
        return "The event log's Redis is reading its file."
    if persistence.get("aof_last_write_status", "ok") != "ok":
        return "The event log's Redis cannot write its append-only file; its log says why (a full disk?)."
    return None


def info_fields(text: str) -> dict[str, str]:
    """The fields of Redis' answer to INFO."""
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
