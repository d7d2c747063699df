"""Syncs obey the same gate as the publication: consent, exclusions, holdouts and guards, as of now; without it nobody is sent."""

import pyarrow as pa

from orchestration.destinations_file import Sync
from orchestration.errors import DestinationError, NothingServedError
from orchestration.gate import gate, gate_revision
from orchestration.guards import held_version
from orchestration.state import State
from orchestration.warehouse import Warehouse


class WarehouseGate:
    """The gate of the installation's own warehouse and operator state."""

    def members(self, warehouse: Warehouse, state: State, sync: Sync) -> tuple[pa.Table, str | None]:
        """See Gate. While a guard holds the newest version back, the members of the last good one, without who withdrew since."""
        held = held_version(state, sync.audience.name)
        build_id = warehouse.served_build()
        if held is not None:
            build_id = state.last_published_build(sync.audience.name)
            if build_id is None:
                raise DestinationError(f"{sync.audience.name} is held back: {held.sentence}")
        try:
            with warehouse.open_served(build_id) as served, warehouse.open_served() as newest:
                gated = gate(
                    served,
                    state,
                    sync.audience,
                    purposes=sync.destination.purposes,
                    destination=sync.destination.name,
                    newest=newest,
                )
        except NothingServedError:
            if held is None:
                raise
            raise DestinationError(
                f"{sync.audience.name} is held back, and its last good build is no longer kept: {held.sentence}"
            ) from None
        return gated.members, build_id

    def revision(self, state: State) -> str:
        """See Gate."""
        return gate_revision(state)
