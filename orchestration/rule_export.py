"""A rule as the two files of an audience in SQL, for review in git: the same members, by dbt alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from activation.rules import Sql, compile_rule, parse_rule
from activation.rules.literals import written_out
from orchestration.audience_catalogue import audiences
from orchestration.audience_rules import SavedRule
from orchestration.errors import ExportError, UnknownRuleError
from orchestration.rule_columns import known_names
from orchestration.rule_sources import inlined
from orchestration.state import State
from orchestration.warehouse import Connection


@dataclass(frozen=True)
class Exported:
    """The text of <name>.sql and of <name>.yml."""

    sql: str
    yml: str


def export_rule(served: Connection, state: State, name: str) -> Exported:
    """Both files of a rule in force. A rule that it asks for is written out in it. Raises UnknownRuleError, RuleError."""
    saved = state.rules.get(name)
    if saved is None:
        raise UnknownRuleError(f"There is no rule {name}; `weft audience rules` lists them.")
    catalogue = audiences(state)
    known = known_names(served, catalogue)
    sources = inlined(
        known, state, catalogue, in_sql=_reference, profiles="{{ ref('profiles') }}", events="{{ ref('events') }}"
    )
    query = compile_rule(parse_rule(saved.rule, known), sources).members_with_reasons()
    head = f"-- One row per customer of the audience {name}: revision {saved.revision} of its rule, by `weft audience export`."
    # values are written last: a line break within one is none of the file's lines
    text = written_out(Sql(_indented(query.text), query.values), _instant)
    return Exported(f"{head}\n{text}\n", _yaml(saved))


def write_export(exported: Exported, name: str, folder: Path) -> list[Path]:
    """Write both files into a folder that is there. Raises ExportError where one would take the place of another file."""
    texts = {folder / f"{name}.sql": exported.sql, folder / f"{name}.yml": exported.yml}
    if not folder.is_dir():
        raise ExportError(f"{folder} is no folder; make it first or name another with --to.")
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ExportError(f"{path} is there already and says something else; move it away first.")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _reference(name: str) -> Sql:
    return Sql(f"select customer_id from {{{{ ref('{name}') }}}}")


def _instant(days: int) -> str:
    return f"{{{{ minus_days(as_of(), {days}) }}}}" if days else "{{ as_of() }}"


def _indented(text: str) -> str:
    """Lines within a pair of brackets stand four spaces further in."""
    depth, lines = 0, []
    for line in text.split("\n"):
        depth -= line.startswith(")")
        lines.append("    " * depth + line)
        depth += line.endswith("(")
    return "\n".join(lines)


def _yaml(saved: SavedRule) -> str:
    columns: list[dict[str, Any]] = [
        {
            "name": "customer_id",
            "data_type": "varchar",
            "description": "Member.",
            "constraints": [{"type": "not_null"}],
            "data_tests": ["unique"],
        },
        {"name": "entered_because", "data_type": "varchar", "description": "Why the customer is in."},
    ]
    description = f"One row per customer of {saved.name}: {saved.description}"
    model = {
        "name": saved.name,
        "description": description,
        "meta": {"audience": saved.meta},
        "columns": columns,
    }
    return yaml.safe_dump({"version": 2, "models": [model]}, sort_keys=False, allow_unicode=True, width=1_000)
