"""Every audience there is, whoever defined it: an SQL file of the dbt project, or a rule in the operator state."""

from dataclasses import dataclass
from typing import Any, Literal

from orchestration.state import State
from orchestration.transform import audience_definitions, read_manifest


@dataclass(frozen=True)
class Audience:
    """One audience: `meta` has owner, consent_purpose, destinations and guards, whoever wrote it.

    An SQL audience need not say why its members are in: `gives_reason`.
    """

    name: str
    kind: Literal["sql", "rule"]
    description: str
    definition_hash: str
    meta: dict[str, Any]
    gives_reason: bool = True


def audiences(state: State) -> list[Audience]:
    """All of them, by name. Where an SQL file has the name of a rule (its export was taken over), the file is the audience."""
    found = [
        Audience(each.name, "sql", each.description, each.definition_hash, each.meta, "entered_because" in each.columns)
        for each in audience_definitions(read_manifest())
    ]
    in_sql = {each.name for each in found}
    found += [
        Audience(each.name, "rule", each.description, each.definition_hash, each.meta)
        for each in state.rules.current()
        if each.name not in in_sql
    ]
    return sorted(found, key=lambda audience: audience.name)


def members_query(audience: Audience) -> str:
    """The members as the last build defined them, before consent, exclusions and holdouts: customer_id, entered_because."""
    if audience.kind == "sql":
        reason = "entered_because" if audience.gives_reason else "cast(null as varchar) as entered_because"
        return f"select customer_id, {reason} from audiences.{audience.name}"
    return f"select customer_id, entered_because from audiences.rule_members where audience = '{audience.name}'"
