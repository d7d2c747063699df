"""Who is to stand at a destination and with which columns: the gated members of a served build, as of now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from activation.destinations.export import AS_OF
from orchestration.destinations_file import Sync
from orchestration.errors import DestinationError
from orchestration.registering import built_in
from orchestration.state import State
from orchestration.warehouse import Connection, Warehouse, scalar


class Gate(Protocol):
    """Who may be sent. What it cannot tell is an error, and then nobody is."""

    def look(self, warehouse: Warehouse, state: State) -> None:
        """Notice a new build and have its audiences judged by their guards, before anything of it is sent."""

    def members(self, warehouse: Warehouse, state: State, sync: Sync) -> pa.Table:
        """customer_id and entered_because of those who may stand there."""

    def revision(self, state: State, sync: Sync) -> str:
        """Another as soon as it may let other customers pass of the same build."""


@dataclass(frozen=True)
class Members:
    """The members with the columns of the destination; the build that was served, and the gate's revision, before they were read."""

    table: pa.Table
    build_id: str | None
    revision: str


def read_members(warehouse: Warehouse, state: State, sync: Sync, gate: Gate) -> Members:
    """Read what a run of a sync needs; nothing of the warehouse stays open. Raises DestinationError, NothingServedError, and the gate's."""
    gate.look(warehouse, state)
    build_id, revision = warehouse.served_build(), gate.revision(state, sync)
    with warehouse.open_served() as served:
        check_columns(served, sync)
        if not built_in(served, [sync.audience]):
            raise DestinationError(f"The audience {sync.audience.name} is in no whole build yet; run `weft run` first.")
    gated = gate.members(warehouse, state, sync)
    with warehouse.open_served() as served:
        columns = ", ".join(f'"{column}"' for column in ("customer_id", *_profile_columns(sync)))
        profiles = served.arrow(f"select {columns} from audiences.profiles")
        as_of = scalar(served, "select as_of from control.current_run")
    told = {AS_OF: f"{as_of:%Y-%m-%dT%H:%M:%SZ}"}
    return Members(with_profiles(gated, profiles).replace_schema_metadata(told), build_id, revision)


def with_profiles(members: pa.Table, profiles: pa.Table) -> pa.Table:
    """The members who have a profile, with its columns."""
    place = pc.index_in(members["customer_id"], value_set=profiles["customer_id"].combine_chunks())
    has_profile = pc.is_valid(place)
    members = members.filter(has_profile)
    rows = profiles.take(place.filter(has_profile))
    for name in rows.column_names:
        if name != "customer_id":
            members = members.append_column(name, rows[name])
    return members


def check_columns(served: Connection, sync: Sync) -> None:
    """Raises DestinationError where the destination wants a column that profiles do not have."""
    query = "select column_name from information_schema.columns where table_schema = ? and table_name = 'profiles'"
    known = {name for (name,) in served.rows(query, [served.schema("audiences")])}
    if not known:
        raise DestinationError("There are no profiles in the served build; run `weft run` first.")
    if missing := [column for column in _profile_columns(sync) if column not in known]:
        raise DestinationError(
            f"{sync.destination.name}: profiles have no column '{missing[0]}'; they have {', '.join(sorted(known))}."
        )


def nobody(columns: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """An audience without members: what it takes to have everything removed."""
    names = {"customer_id": pa.string(), "entered_because": pa.string(), **(columns or {})}
    return pa.table({name: pa.array([], type_) for name, type_ in names.items()})


def _profile_columns(sync: Sync) -> tuple[str, ...]:
    return tuple(name for name in sync.destination.columns if name not in ("customer_id", "entered_because"))
