"""The served build as automations read it: who is in an audience, who was merged, what the profiles say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.audience_catalogue import Audience
from orchestration.warehouse import Connection, first_row, scalar, tables_of


@dataclass(frozen=True)
class Source:
    """One served build."""

    served: Connection

    def newest_change(self) -> int:
        """The last change of membership in the history; 0 where there is none."""
        if "settled_memberships" not in tables_of(self.served, "control"):
            return 0
        row = first_row(self.served, "select max(change_seq) from control.settled_memberships")
        return int(row[0]) if row and row[0] is not None else 0

    def has(self, audience: Audience, saved_at: datetime | None) -> bool:
        """Whether the history knows the audience, so that who is inside already can be told from who comes.

        `saved_at`: when a rule was first saved. A rule without members was evaluated for certain by the second build after that.
        """
        tables = tables_of(self.served, "audiences")
        if audience.kind == "sql":
            return {"memberships", audience.name} <= tables
        if "memberships" not in tables:
            return False
        query = "select count(*) from audiences.memberships where audience = ?"
        if scalar(self.served, query, [audience.name]):
            return True
        builds = scalar(self.served, "select count(*) from control.builds where completed_at > ?", [saved_at])
        return int(builds) >= 2

    def inside(self, audience: str, customers: Sequence[str] | None = None) -> dict[str, tuple[int, datetime]]:
        """Who is in an audience (of some customers, or of all): the number and the time of their entering."""
        if "memberships" not in tables_of(self.served, "audiences"):
            return {}
        query = "select customer_id, entered_seq, entered_at from audiences.memberships where audience = ? and left_seq is null"
        rows = self._of(query, [audience], customers)
        return {customer: (int(number), at) for customer, number, at in rows}

    def living(self, customers: Iterable[str]) -> dict[str, str]:
        """The living id of each customer that was merged."""
        if "customer_redirects" not in tables_of(self.served, "identity"):
            return {}
        query = (
            "select customer_id, living_customer_id from identity.customer_redirects "
            "where customer_id <> living_customer_id and living_customer_id is not null"
        )
        return dict(self._of(query, [], sorted(set(customers))))

    def profile_columns(self) -> set[str]:
        """Columns that the profiles have."""
        if "profiles" not in tables_of(self.served, "audiences"):
            return set()
        return set(self.served.arrow("select * from audiences.profiles where false").column_names)

    def profiles(self, columns: Sequence[str], customers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The named columns of some customers."""
        if not columns:
            return {customer: {} for customer in customers}
        query = f"select customer_id, {', '.join(columns)} from audiences.profiles where true"
        return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in self._of(query, [], customers)}

    def _of(self, query: str, values: Sequence[object], customers: Sequence[str] | None) -> list[tuple[Any, ...]]:
        if customers is None:
            return self.served.rows(query, values)
        if not customers:
            return []
        some = "customer_id in (select unnest(cast(? as varchar[])))"
        return self.served.rows(f"{query} and {some}", [*values, list(customers)])
