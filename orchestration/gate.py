"""The gate: who of an audience's members may be published now. What cannot be told is an error, and then nobody is.

A member passes who has consent for every purpose asked, in the build that the members are of and in the newest one, and has not
refused since; who is on no exclusion list; and who is not held out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import psycopg2
import pyarrow as pa
import sqlalchemy as sa

from orchestration import gate_facts
from orchestration.audience_catalogue import Audience, members_query
from orchestration.consent_purposes import NO_CONSENT_NEEDED, PURPOSES
from orchestration.errors import GateError
from orchestration.holdouts import EVERYBODY, Holdout
from orchestration.state import State
from orchestration.warehouse import Connection

NO_PURPOSE, UNKNOWN, NO_CONSENT, REFUSED_SINCE = "no_purpose", "unknown_customer", "no_consent", "refused_since"
EXCLUDED, CONTAMINATED, HELD_OUT = "excluded", "contaminated", "held_out"
REASONS = {
    NO_PURPOSE: "the audience names neither a consent purpose nor a legal basis",
    UNKNOWN: "the newest build has no such customer",
    NO_CONSENT: "no consent for the purpose",
    REFUSED_SINCE: "refused after the last build",
    EXCLUDED: "on an exclusion list",
    CONTAMINATED: "merged from both sides of a holdout",
    HELD_OUT: "held out, to compare the others with",
}
"""Why somebody is withheld, in the order in which it is asked: the first that holds is the one that counts."""
MEMBERS = pa.schema([("customer_id", pa.string()), ("entered_because", pa.string())])
REDIS = "redis"
"""The name of the online store as a destination."""


@dataclass(frozen=True)
class Gated:
    """The members who may be published (as MEMBERS), and how many were withheld for which of REASONS."""

    members: pa.Table
    withheld: Mapping[str, int]

    @property
    def withheld_count(self) -> int:
        """All who were withheld."""
        return sum(self.withheld.values())

    def sentence(self) -> str:
        """How many were withheld and why; '' where nobody was."""
        return ", ".join(f"{count:,} {REASONS[reason]}" for reason, count in self.withheld.items())


def gate(
    served: Connection,
    state: State,
    audience: Audience,
    *,
    purposes: Sequence[str] = (),
    destination: str | None = None,
    newest: Connection | None = None,
) -> Gated:
    """The audience's members in a build who may be published now for its own purpose and the further `purposes`, to `destination`.

    `newest` is the newest served build where `served` is an older one. Raises GateError where that cannot be told.
    """
    with opened_gate(served, state, newest=newest) as opened:
        return opened.members(audience, purposes=purposes, destination=destination)


def withheld_reason(
    served: Connection,
    state: State,
    audience: Audience,
    customer_id: str,
    *,
    purposes: Sequence[str] = (),
    destination: str | None = None,
) -> str | None:
    """Which of REASONS withholds this customer from the audience, member or not; None where nothing does. Raises GateError."""
    with opened_gate(served, state, only=customer_id) as opened:
        asked = pa.table({"customer_id": [customer_id], "entered_because": [None]}, schema=MEMBERS)
        withheld = opened.judge(audience, asked, purposes=purposes, destination=destination).withheld
    return next(iter(withheld), None)


def gate_revision(state: State) -> str:
    """A text that changes whenever an exclusion list, a holdout or a refusal does."""
    return f"{state.exclusions.revision()}.{state.holdouts.revision()}.{state.refusals.revision()}"


@contextmanager
def opened_gate(
    served: Connection, state: State, *, newest: Connection | None = None, only: str | None = None
) -> Iterator["Gate"]:
    """A gate for many audiences of one build: what holds for all of them is asked once. `only`: for one customer. Raises GateError."""
    with duckdb.connect() as scratch:
        try:
            opened = Gate(served, state, scratch, newest or served, only)
            yield opened
        except (duckdb.Error, psycopg2.Error, sa.exc.SQLAlchemyError) as error:
            raise GateError(
                f"Who may be published cannot be told ({type(error).__name__}), so nobody is: look at the served build, "
                "customer_360.customers and the operator state."
            ) from error


class Gate:
    """What holds for all audiences of a build, on a scratch DuckDB whatever the warehouse is."""

    def __init__(
        self, served: Connection, state: State, scratch: duckdb.DuckDBPyConnection, newest: Connection, only: str | None
    ) -> None:
        self._served, self._state, self._scratch = served, state, scratch
        self._rounds = state.holdouts.list()
        builds = {"people": newest} | ({"people_then": served} if newest is not served else {})
        self._consents = list(builds)
        for name, build in builds.items():
            self._keep(name, gate_facts.consents(build, only))
        self._keep("blocked", gate_facts.blocked(newest, state))
        self._keep("sides", gate_facts.sides(newest, self._rounds))

    def members(
        self,
        audience: Audience,
        *,
        purposes: Sequence[str] = (),
        destination: str | None = None,
        with_holdouts: bool = True,
    ) -> Gated:
        """The audience's members who may be published now; see `gate`."""
        candidates = self._served.arrow(members_query(audience)).select(MEMBERS.names)
        return self.judge(audience, candidates, purposes=purposes, destination=destination, with_holdouts=with_holdouts)

    def judge(
        self,
        audience: Audience,
        candidates: pa.Table,
        *,
        purposes: Sequence[str] = (),
        destination: str | None = None,
        with_holdouts: bool = True,
    ) -> Gated:
        """Who of the candidates (as MEMBERS) may be published now."""
        asked = asked_purposes(audience, purposes)
        if asked is None:
            nobody = candidates.slice(0, 0)
            return Gated(nobody, {NO_PURPOSE: len(candidates)} if len(candidates) else {})
        rounds = [each for each in self._rounds if each.scope in (EVERYBODY, audience.name)] if with_holdouts else []
        values: dict[str, object] = {"purposes": asked, "audience": audience.name, "destination": destination or ""}
        query = self._query(asked, rounds, values)
        self._scratch.register("candidates", candidates)
        try:
            self._scratch.execute(f"create or replace temp table judged as {query}", values)
        finally:
            self._scratch.unregister("candidates")
        counted = self._scratch.execute("select reason, count(*) from judged where reason is not null group by 1")
        found = dict(counted.fetchall())
        passing = self._scratch.sql("select customer_id, entered_because from judged where reason is null")
        return Gated(passing.to_arrow_table(), {reason: found[reason] for reason in REASONS if reason in found})

    def content_hash(self, members: pa.Table) -> str:
        """A hash of the members' ids that is the same in whatever order they come, and on every warehouse."""
        self._scratch.register("hashed", members)
        try:
            query = "select count(*), coalesce(sum(cast(md5_number_lower(customer_id) as hugeint)), 0) from hashed"
            [row] = self._scratch.execute(query).fetchall()  # a row left behind would keep the connection busy
        finally:
            self._scratch.unregister("hashed")
        return f"{row[0]}:{row[1]}"

    def names_by_customer(self, members: Mapping[str, pa.Table]) -> pa.Table:
        """One row per customer in any of these audiences, with the sorted names of those that it is in."""
        self._scratch.execute("create or replace temp table named (customer_id varchar, audience varchar)")
        for name, table in members.items():
            self._scratch.register("these", table)
            self._scratch.execute("insert into named select customer_id, ? from these", [name])
            self._scratch.unregister("these")
        query = "select customer_id, list(audience order by audience) as audiences from named group by customer_id"
        return self._scratch.sql(query).to_arrow_table()

    def _keep(self, name: str, rows: pa.Table) -> None:
        self._scratch.register("given", rows)
        self._scratch.execute(f"create temp table {name} as select * from given")
        self._scratch.unregister("given")

    def _query(self, asked: Sequence[str], rounds: Sequence[Holdout], values: dict[str, object]) -> str:
        """Candidates with the first reason that withholds them; null where none does."""
        joins, cases = [], [f"when people.customer_id is null then '{UNKNOWN}'"]
        for build in self._consents:
            # a customer that the older build does not know cannot have consented in it
            joins.append(f"left join {build} on candidates.customer_id = {build}.customer_id")
            if asked:
                allowed = " and ".join(f"coalesce({build}.{purpose}, false)" for purpose in asked)
                cases.append(f"when not ({allowed}) then '{NO_CONSENT}'")
        ours = "kind = 'everywhere' or (kind = 'audience' and name = $audience)"
        for reason, which in (
            (REFUSED_SINCE, f"kind = '{gate_facts.PURPOSE}' and list_contains(cast($purposes as varchar[]), name)"),
            (EXCLUDED, f"{ours} or (kind = 'destination' and name = $destination)"),
        ):
            cases.append(
                f"when candidates.customer_id in (select customer_id from blocked where {which}) then '{reason}'"
            )
        for number, each in enumerate(rounds):
            side = f"side_{number}"
            values |= {
                f"scope_{number}": each.scope,
                f"prefix_{number}": each.prefix,
                f"below_{number}": each.threshold,
            }
            joins.append(
                f"left join (select * from sides where scope = $scope_{number}) as {side} "
                f"on candidates.customer_id = {side}.customer_id"
            )
            hashed = f"substr(md5($prefix_{number} || candidates.customer_id), 1, 8) < $below_{number}"
            cases.append(f"when {side}.is_contaminated then '{CONTAMINATED}'")
            cases.append(f"when coalesce({side}.is_held_out, {hashed}) then '{HELD_OUT}'")
        return (
            f"select candidates.customer_id, candidates.entered_because, case {' '.join(cases)} end as reason "
            f"from candidates {' '.join(joins)}"
        )


def asked_purposes(audience: Audience, further: Sequence[str] = ()) -> list[str] | None:
    """The purposes that a member must have consented to; None where the audience says neither a purpose nor a legal basis.

    Raises GateError for a purpose that there is not.
    """
    own = audience.meta.get("consent_purpose")
    if own is None or (own == NO_CONSENT_NEEDED and not str(audience.meta.get("legal_basis") or "").strip()):
        return None
    asked = [purpose for purpose in dict.fromkeys([own, *further]) if purpose != NO_CONSENT_NEEDED]
    if unknown := [purpose for purpose in asked if purpose not in PURPOSES]:
        raise GateError(
            f"{audience.name} asks for consent to {unknown[0]!r}; a purpose is one of {', '.join(PURPOSES)}, or "
            f"{NO_CONSENT_NEEDED} with a legal_basis. Nobody is published."
        )
    return asked
