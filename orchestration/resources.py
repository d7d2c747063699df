"""What every asset, sensor and command is handed: the settings, the operator state and the identity rules of this installation."""

from dataclasses import dataclass
from functools import cached_property

from identity.rules import Rules, load_rules
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.postgres_warehouse import PostgresWarehouse
from orchestration.settings import Settings, load_settings
from orchestration.state import State
from orchestration.warehouse import Warehouse


@dataclass(frozen=True)
class Platform:
    """One installation of Weft."""

    settings: Settings

    @cached_property
    def state(self) -> State:
        """Operator state."""
        return State(self.settings.state_url)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse that WEFT_TARGET names."""
        if self.settings.target == "postgres":
            return PostgresWarehouse(self.settings.postgres_dsn)
        return DuckDBWarehouse(self.settings.warehouse_path, self.settings.served)

    @cached_property
    def rules(self) -> Rules:
        """The identity rules that analysts edit. Raises RulesError with the line that is wrong."""
        is_own = self.settings.identity_rules is not None or self.settings.rule_file.exists()
        return load_rules(self.settings.rule_file if is_own else None)

    @cached_property
    def salt(self) -> str:
        """The salt of all customer ids: the one that was set, else the one this installation made."""
        return self.settings.installation_salt or self.state.salt()


def build_platform(**overrides: object) -> Platform:
    """The installation that the environment describes; overrides win."""
    return Platform(load_settings(**overrides))
