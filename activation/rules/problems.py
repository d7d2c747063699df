"""What is wrong with a rule: one sentence for each place in the JSON, as many as ten at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from activation.errors import ActivationError

MOST_PROBLEMS = 10
_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One mistake: `path` is where in the JSON ($.all[1].value), `sentence` what is allowed there. It repeats no value of the rule."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


class RuleError(ActivationError):
    """A rule that cannot be used; `problems` has up to ten of its mistakes, in the order of the JSON."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)[:MOST_PROBLEMS]
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Collects mistakes while a rule is read; after ten of them reading ends."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, sentence: str) -> None:
        """One more mistake. Raises RuleError with the tenth."""
        self.found.append(Problem(path, sentence))
        if len(self.found) >= MOST_PROBLEMS:
            raise RuleError(self.found)

    def only(self, given: Mapping[str, Any], path: str, keys: tuple[str, ...]) -> None:
        """A mistake for every key that means nothing here. Raises RuleError with the tenth."""
        for key in given:
            if key not in keys:
                self.add(path, f"{shown(key)} means nothing here; {allowed(key, keys)}.")

    def raise_if_any(self) -> None:
        """Raises RuleError where there is a mistake."""
        if self.found:
            raise RuleError(self.found)


def shown(name: object) -> str:
    """A name that somebody sent, fit for a sentence: short, in quotes, without control characters."""
    text = name if isinstance(name, str) else type(name).__name__
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "'" + "".join(letter if letter.isprintable() else "?" for letter in text) + "'"


def allowed(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: those nearest to it, else the first few of what there is."""
    names = sorted(known)
    if not names:
        return "there is none yet"
    near = get_close_matches(name[:_SHOWN], names, n=4, cutoff=0.5) if isinstance(name, str) else []
    if near:
        return f"did you mean {_or(near)}?"
    more = f" (and {len(names) - 12} more)" if len(names) > 12 else ""
    return f"use one of {', '.join(names[:12])}{more}"


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
