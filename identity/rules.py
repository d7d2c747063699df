"""The rule file that analysts edit: read, checked, and refused with the line number where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from identity.tables import IDENTIFIER_TYPES

DEFAULT_RULES = Path(__file__).with_name("rules.yml")
ALL_TYPES = "all_types"
_DEEPEST = 8  # also ends an alias that holds itself
_Path = tuple[str | int, ...]


class RulesError(ValueError):
    """A rule file cannot be used; one sentence names the file, the line and the field."""


def _checked_regex(pattern: str) -> str:
    """Accept what the engine will run (RE2: linear time, so no pattern can hang a run)."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern, ignore_case=True)
    except pa.ArrowInvalid as error:
        raise ValueError(f"is not a regular expression that RE2 accepts ({error})") from error
    return pattern


_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
_Regex = Annotated[str, StringConstraints(min_length=1), AfterValidator(_checked_regex)]
_Limit = Annotated[int, Field(ge=1, strict=True)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class IdentifierType(_Section):
    """One kind of identifier: priority 0 comes first; strong kinds name a person, weak ones a thing."""

    priority: Annotated[int, Field(ge=0, le=1000)]
    strength: Literal["strong", "weak"]

    @property
    def is_strong(self) -> bool:
        """Whether the kind names a person."""
        return self.strength == "strong"


class BlockedValues(_Section):
    """Values that are not identifiers: equal to one of `values`, or matched by one of `regexes` (case ignored)."""

    values: list[Annotated[str, StringConstraints(min_length=1)]] = []
    regexes: list[_Regex] = []


class HotLimits(_Section):
    """How many different strong values of one type an identifier may be seen with, and the exceptions by pair."""

    limit: _Limit
    per_pair: dict[_Name, dict[_Name, _Limit]] = {}

    def allowed(self, identifier_type: str, other_type: str) -> int:
        """The number of values of `other_type` that an identifier of `identifier_type` may be seen with."""
        return self.per_pair.get(identifier_type, {}).get(other_type, self.limit)


class Review(_Section):
    """Evidence whose strong identifiers lie in MORE groups than this waits for a person."""

    groups: _Limit


class Visits(_Section):
    """A visit on a shared identifier ends after this many minutes without an event on it."""

    gap_minutes: Annotated[int, Field(ge=1, le=1440, strict=True)]


class Rules(_Section):
    """The whole rule file, checked."""

    default_country: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}$")]
    identifier_types: Annotated[dict[_Name, IdentifierType], Field(min_length=1)]
    blocked: dict[_Name, BlockedValues] = {}
    hot: HotLimits
    limits: dict[_Name, _Limit] = {}
    review: Review
    visits: Visits

    @model_validator(mode="after")
    def _refuse_what_does_not_fit_together(self) -> Rules:
        by_priority: dict[int, str] = {}
        for name, kind in self.identifier_types.items():
            if kind.priority in by_priority:
                raise _Misfit(("identifier_types", name, "priority"), f"is also that of {by_priority[kind.priority]}")
            by_priority[kind.priority] = name
        for name in self.blocked:
            if name != ALL_TYPES and name not in self.identifier_types:
                raise _Misfit(("blocked", name), "is neither all_types nor one of identifier_types")
        for name in self.limits:
            if name not in self.identifier_types:
                raise _Misfit(("limits", name), "is not one of identifier_types")
        for name, others in self.hot.per_pair.items():
            if name not in self.identifier_types:
                raise _Misfit(("hot", "per_pair", name), "is not one of identifier_types")
            for other in others:
                if other not in self.identifier_types or not self.identifier_types[other].is_strong:
                    raise _Misfit(("hot", "per_pair", name, other), "is not a strong type of identifier_types")
        return self

    def types_table(self) -> pa.Table:
        """The rows of control.identifier_types: one per type, by priority."""
        kinds = sorted(self.identifier_types.items(), key=lambda item: item[1].priority)
        rows = [{"identifier_type": n, "priority": k.priority, "is_strong": k.is_strong} for n, k in kinds]
        return pa.Table.from_pylist(rows, schema=IDENTIFIER_TYPES)


class _Misfit(ValueError):
    def __init__(self, path: _Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def load_rules(path: Path | str | None = None) -> Rules:
    """Read a rule file (None: the packaged default); raise RulesError with file, line and field where it is wrong."""
    file = Path(path) if path is not None else DEFAULT_RULES
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        tree = loader.get_single_node()
        if tree is None:
            raise RulesError(f"{file}, line 1: the rule file is empty.")
        lines: dict[_Path, int] = {(): 1}
        _note_lines(file, tree, (), lines)
        return _validated(file, loader.construct_document(tree), lines)
    except OSError as error:
        raise RulesError(f"{file}: the rule file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise RulesError(f"{file}: the rule file is not UTF-8 text.") from error
    except yaml.MarkedYAMLError as error:
        # a bracket that is never closed is found missing far below: the line that helps is where it opens
        is_open = (error.context or "").startswith("while parsing a flow")
        mark = error.context_mark if is_open else error.problem_mark
        line = mark.line + 1 if mark else 1
        raise RulesError(f"{file}, line {line}: the file is not YAML ({error.problem}).") from error
    except yaml.YAMLError as error:
        raise RulesError(f"{file}, line 1: the file is not YAML ({error}).") from error


def _validated(file: Path, content: object, lines: dict[_Path, int]) -> Rules:
    try:
        return Rules.model_validate(content)
    except ValidationError as error:
        # A misspelt field is also a missing one: the misspelling is what the analyst can find.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        cause = first.get("ctx", {}).get("error")
        where: _Path = cause.path if isinstance(cause, _Misfit) else tuple(first["loc"])
        raise RulesError(f"{file}, line {_line(lines, where)}: {_sentence(where, first, cause)}.") from error


def _note_lines(file: Path, node: yaml.Node, path: _Path, lines: dict[_Path, int]) -> None:
    """Remember the line of every field, and refuse a key given twice (YAML would silently keep the last)."""
    lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > _DEEPEST:
        raise RulesError(f"{file}, line {node.start_mark.line + 1}: {_dotted(path[:3])} is nested too deeply.")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in lines:
                raise RulesError(f"{file}, line {key.start_mark.line + 1}: {_dotted(inner)} is given twice.")
            lines[inner] = key.start_mark.line + 1
            _note_lines(file, value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _note_lines(file, value, (*path, number), lines)


def _line(lines: dict[_Path, int], path: _Path) -> int:
    while path not in lines:
        path = path[:-1]
    return lines[path]


def _dotted(path: _Path) -> str:
    return ".".join(str(part) for part in path if part != "[key]") or "the file"


def _sentence(path: _Path, error: Any, cause: Exception | None) -> str:
    texts = {"missing": "is missing", "extra_forbidden": "is not a known field"}
    reason = texts.get(error["type"]) or (str(cause) if cause else error["msg"][0].lower() + error["msg"][1:])
    return f"{_dotted(path)} {reason}" if error["type"] in texts or cause else f"{_dotted(path)}: {reason}"
