"""Syncs obey the same gate as the publication: consent, exclusions, holdouts and guards, as of now; without it nobody is sent."""

import threading

import pyarrow as pa

from orchestration.destinations_file import Sync
from orchestration.errors import DestinationError, NothingServedError
from orchestration.gate import gate, gate_revision
from orchestration.guards import held_version
from orchestration.registering import register_changes
from orchestration.state import State
from orchestration.warehouse import Warehouse

_LOOKING = threading.Lock()


class WarehouseGate:
    """The gate of the installation's own warehouse and operator state."""

    def look(self, warehouse: Warehouse, state: State) -> None:
        """See Gate. Syncs that start together look one after the other; the second finds nothing new."""
        with _LOOKING:
            register_changes(warehouse, state, wait=False)

    def members(self, warehouse: Warehouse, state: State, sync: Sync) -> pa.Table:
        """See Gate. While a guard holds the newest version back, the members of the last good one, without who withdrew since."""
        held = held_version(state, sync.audience.name)
        good = state.last_published_build(sync.audience.name) if held else None
        if held and good is None:
            raise DestinationError(f"{sync.audience.name} is held back: {held.sentence}")
        try:
            with warehouse.open_served(good) as served, warehouse.open_served() as newest:
                return gate(
                    served,
                    state,
                    sync.audience,
                    purposes=sync.destination.purposes,
                    destination=sync.destination.name,
                    newest=newest if good else None,
                ).members
        except NothingServedError:
            if held is None:
                raise
            raise DestinationError(
                f"{sync.audience.name} is held back, and its last good build is no longer kept: {held.sentence}"
            ) from None

    def revision(self, state: State, sync: Sync) -> str:
        """See Gate."""
        return f"{gate_revision(state)}.held" if held_version(state, sync.audience.name) else gate_revision(state)
