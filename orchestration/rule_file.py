"""The rule file of an installation: what another one would change, and how it takes its place."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from identity.rules import Rules
from orchestration.errors import SettingsError

LONGEST = 60


def install_rules(source: Path, target: Path) -> Path | None:
    """Put the bytes of `source` (checked by whoever calls) in the place of `target`, at once or not at all.

    What stood there is kept beside it; its path is returned, None where nothing stood there or the two are one file.
    Raises SettingsError with one sentence.
    """
    target = target.resolve()
    try:
        if target.exists() and source.samefile(target):
            return None
        content = source.read_bytes()
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.with_name(f"{target.name}.before") if target.exists() else None
        if before is not None:
            _write(before, target.read_bytes())
        _write(target, content)
    except OSError as error:
        raise SettingsError(f"{target} cannot be replaced ({error.strerror}); the rules are as they were.") from None
    return before


def changes(old: Rules, new: Rules) -> list[str]:
    """What differs between two rule files, one line a field: 'hot.limit: 10 -> 5'."""
    before, after = dict(_leaves(old.model_dump())), dict(_leaves(new.model_dump()))
    lines = []
    for field in sorted(before.keys() | after.keys()):
        was, is_ = before.get(field), after.get(field)
        if was == is_:
            continue
        if isinstance(was, list | None) and isinstance(is_, list | None):
            added = [value for value in is_ or [] if value not in (was or [])]
            removed = [value for value in was or [] if value not in (is_ or [])]
            lines += [f"{field}: {_short(value)} added" for value in added]
            lines += [f"{field}: {_short(value)} removed" for value in removed]
        else:
            lines.append(f"{field}: {_short(was)} -> {_short(is_)}")
    return lines


def _write(path: Path, content: bytes) -> None:
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(new).chmod(0o644)
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        else:
            yield here, value


def _short(value: object) -> str:
    if value is None:
        return "not there"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
