"""Why a channel is the best, in a sentence with numbers: past days, doubt, and what to do where it cannot be used."""

from typing import Any, Final

import numpy as np

from ml.channel_model import Uses, share_interval, total
from ml.reasons import spoken
from ml.schema import FloatArray

YEAR_KINDS: Final = slice(0, 3)


def reasons(uses: Uses, parameters: FloatArray, reach: Any) -> list[str]:
    """One sentence per customer. `unsure` stands in it where the interval of another channel overlaps that of the best."""
    whole, each = total(parameters), np.arange(len(parameters))
    ranked = np.argsort(-parameters, axis=1, kind="stable")
    best = ranked[:, 0]
    second = ranked[:, min(1, ranked.shape[1] - 1)]
    lower, _ = share_interval(parameters[each, best], whole)
    _, rival = share_interval(np.maximum(parameters[each, second], 1e-9), whole)
    is_unsure = (rival >= lower) & (second != best)
    days = uses.past[:, :, YEAR_KINDS].sum(axis=2)
    said = []
    for row in each.tolist():
        text = _history(days[row, best[row]], days[row].sum(), uses.days_since[row, best[row]])
        if is_unsure[row]:
            chance = spoken(parameters[row, second[row]] / whole[row], "share")
            text += f"; unsure: {uses.channels[second[row]]} is possible as well ({chance})"
        if reach[row, best[row]] is False:
            text += f"; {_instead(uses.channels, ranked[row], reach[row])}"
        said.append(text)
    return said


def _history(on_it: float, on_all: float, since: float) -> str:
    if not on_all:
        return "no own activity in 365 days: what most customers use"
    if not on_it:
        return f"not used in 365 days, other channels on {on_all:.0f} day{'s' if on_all > 1 else ''}: what most customers use"
    last = "today" if since < 1 else "yesterday" if since < 2 else f"{spoken(since, 'days')} days ago"
    return f"used on {on_it:.0f} of {on_all:.0f} active days in 365 days, last {last}"


def _instead(channels: tuple[str, ...], ranked: Any, reach: Any) -> str:
    for column in ranked.tolist():
        if reach[column]:
            return f"no contact or no consent for it: {channels[column]} is the best that can be used"
    return "no contact or no consent for it, nor for another channel"
