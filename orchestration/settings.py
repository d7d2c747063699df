"""Where things are and who we are: read from the environment once, here and nowhere else."""

import json
import os
from datetime import date
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.request import url2pathname

from dotenv import dotenv_values
from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestration.errors import SettingsError
from orchestration.failpoints import arm

PROJECT_ROOT = Path(__file__).resolve().parent.parent

POSTGRES_VARIABLES = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGDATABASE": "dbname",
    "PGSSLMODE": "sslmode",
    "DBT_ENV_SECRET_PGPASSWORD": "password",
}
"""Variables that dbt_project/profiles.yml reads, and the parts of WEFT_POSTGRES_URL that they are."""


class Settings(BaseSettings):
    """Every setting of Weft, with a default that works in a fresh checkout. `.env.example` lists them all."""

    model_config = SettingsConfigDict(env_prefix="WEFT_", env_file=PROJECT_ROOT / ".env", extra="ignore", frozen=True)

    home: Path = PROJECT_ROOT / ".weft"
    target: Literal["duckdb", "postgres"] = "duckdb"
    duckdb_path: Path | None = None
    postgres_url: SecretStr | None = None
    reporting_currency: str = "EUR"
    identity_rules: Path | None = None
    installation_salt: str | None = None
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    redis_port: int | None = None
    dagster_port: int = 3000
    log_url: SecretStr | None = None
    log_memory_mb: int = Field(
        default=256, ge=64
    )  # a quarter has to have room for what the largest request becomes, 8 MB, twice
    collector_port: int = Field(default=8080, ge=1, le=65535)
    api_port: int = Field(default=8070, ge=1, le=65535)
    shop_port: int = Field(default=8090, ge=0, le=65535)
    webhook_secrets: SecretStr | None = None
    trusted_proxies: str = ""
    snowplow_source: str = "snowplow"
    upload_mb: int = Field(default=100, ge=1)
    model_store: str = Field(default="", pattern=r"^([a-z0-9+.-]+://.+)?$")
    seed: int = 7
    churn_horizon_days: int = Field(default=90, ge=7, le=730)
    ltv_horizons_days: str = "90,365"
    contact_cost: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    gross_margin: float = Field(default=0.3, ge=0, le=1)
    contact_success_rate: float = Field(default=0.1, ge=0, le=1)
    publish_features: bool | None = None
    hourly_cron: str = "0 * * * *"
    daily_cron: str = "30 4 * * *"
    weekly_cron: str = "30 3 * * 0"
    partitions_start: date = date(2020, 1, 1)
    snapshot_retention_days: int = Field(default=730, ge=1)
    alert_webhook: SecretStr | None = None
    allow_private_webhooks: bool = False
    crash_at: str | None = None
    allow_crashes: bool = False

    @cached_property
    def warehouse_path(self) -> Path:
        """The DuckDB file that runs write to."""
        return (self.duckdb_path or self.home / "warehouse.duckdb").absolute()

    @cached_property
    def inbox(self) -> Path:
        """Files put into inbox/<mapping name>/ are landed by the next run."""
        return self.home / "inbox"

    @cached_property
    def crm_file(self) -> Path:
        """The CRMs that contacts are pulled from (docs/crm.md); most installations have none."""
        return self.home / "crm.yml"

    @cached_property
    def destinations_file(self) -> Path:
        """Where audiences are sent besides Redis (docs/syncs.md); without it nothing is."""
        return self.home / "destinations.yml"

    @cached_property
    def automations_file(self) -> Path:
        """What happens when somebody enters or leaves an audience (docs/automations.md); without it nothing does."""
        return self.home / "automations.yml"

    @cached_property
    def exports(self) -> Path:
        """Files that exports write, in a folder by destination."""
        return self.home / "exports"

    @cached_property
    def rule_file(self) -> Path:
        """The identity rules of this installation; where there is no such file and none was set, those that come with Weft hold."""
        return (self.identity_rules or self.home / "identity_rules.yml").absolute()

    @cached_property
    def served(self) -> Path:
        """Whole builds that people and services read."""
        return self.home / "served"

    @cached_property
    def models(self) -> Path | str:
        """Model files by content hash: a folder, or the URL of an object store that fsspec knows."""
        if not self.model_store:
            return self.home / "models"
        scheme, _, path = self.model_store.partition("://")
        return Path(url2pathname(path)) if scheme == "file" else self.model_store

    @cached_property
    def log_folder(self) -> Path:
        """Where the event log keeps its files, unless it is a Redis of one's own."""
        return self.home / "log"

    @cached_property
    def secrets_by_source(self) -> dict[str, tuple[str, ...]]:
        """The secrets that a webhook source may be signed with, by source. Shown to nobody."""
        return parsed_secrets(self.webhook_secrets.get_secret_value()) if self.webhook_secrets else {}

    @cached_property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Networks of proxies whose X-Forwarded-For is believed."""
        return parsed_networks(self.trusted_proxies)

    @cached_property
    def source_files(self) -> Path:
        """What an operator says of single sources, in <source>.yml (docs/webhooks.md)."""
        return self.home / "sources"

    @cached_property
    def dagster_home(self) -> Path:
        """Dagster's own storage."""
        return self.home / "dagster"

    @cached_property
    def postgres_dsn(self) -> str:
        """Address of the PostgreSQL warehouse; it may hold a password and is shown to nobody."""
        assert self.postgres_url is not None, "load_settings asks for it"
        return self.postgres_url.get_secret_value()

    @cached_property
    def state_url(self) -> str:
        """SQLAlchemy address of the operator state: the schema weft_state of a PostgreSQL warehouse, else a file under home."""
        if self.target == "postgres":
            return f"postgresql+psycopg2://{self.postgres_dsn.partition('://')[2]}"
        return f"sqlite:///{self.home / 'state.sqlite'}"

    def dbt_environment(self) -> dict[str, str]:
        """What the dbt project reads from the environment, with absolute paths. dbt keeps DBT_ENV_SECRET_… out of its logs."""
        postgres = {}
        if self.target == "postgres":
            given = parse_dsn(self.postgres_dsn)
            postgres = {name: str(given[key]) for name, key in POSTGRES_VARIABLES.items() if key in given}
        return postgres | {
            "WEFT_TARGET": self.target,
            "WEFT_HOME": str(self.home.absolute()),
            "WEFT_DUCKDB_PATH": str(self.warehouse_path),
            "WEFT_REPORTING_CURRENCY": self.reporting_currency,
            "DBT_PROFILES_DIR": str(PROJECT_ROOT / "dbt_project"),
        }


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `.env`; overrides win. Raises SettingsError with one sentence."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            f"The setting WEFT_{name.removeprefix('WEFT_')} cannot be used: {first['msg']}; see .env.example."
        ) from None
    if settings.target == "postgres" and settings.postgres_url is None:
        raise SettingsError(
            "WEFT_TARGET=postgres needs WEFT_POSTGRES_URL, such as postgresql://user:password@host:5432/weft."
        )
    if settings.target == "postgres" and not _is_url(settings.postgres_dsn):
        raise SettingsError("WEFT_POSTGRES_URL is no address such as postgresql://user:password@host:5432/weft.")
    _ = settings.secrets_by_source, settings.proxies  # raises what is wrong with them
    arm(settings.crash_at, is_allowed=settings.allow_crashes)
    settings.home.mkdir(parents=True, exist_ok=True)
    return settings


def secret_variable(name: str) -> str | None:
    """A secret that a configuration file names by its environment variable: from there or from `.env`. Shown to nobody."""
    return os.environ.get(name) or dotenv_values(PROJECT_ROOT / ".env").get(name)


def parsed_secrets(text: str) -> dict[str, tuple[str, ...]]:
    """Secrets by source, from JSON such as {"shop": ["new", "old"]}. Raises SettingsError, which holds nothing of the text."""
    wrong = SettingsError('WEFT_WEBHOOK_SECRETS must be JSON such as {"shop": ["new secret", "old secret"]}.')
    try:
        given = json.loads(text)
    except ValueError:
        raise wrong from None
    if not isinstance(given, dict):
        raise wrong
    secrets = {source: (listed,) if isinstance(listed, str) else listed for source, listed in given.items()}
    for listed in secrets.values():
        if not isinstance(listed, list | tuple) or not all(isinstance(secret, str) and secret for secret in listed):
            raise wrong
    return {source: tuple(listed) for source, listed in secrets.items()}


def parsed_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks from addresses and networks by comma. Raises SettingsError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(ip_network(part, strict=False) for part in parts)
    except ValueError:
        raise SettingsError(
            "WEFT_TRUSTED_PROXIES must be addresses or networks by comma, such as 10.0.0.0/8,127.0.0.1."
        ) from None


def _is_url(address: str) -> bool:
    """Whether libpq can read it; what it says about it otherwise may hold the password, so nobody gets to see that."""
    try:
        return address.startswith(("postgresql://", "postgres://")) and "dbname" in parse_dsn(address)
    except ProgrammingError:
        return False


def export_for_tools(settings: Settings) -> None:
    """Put what Dagster and dbt read from the environment into this process's own, so that all agree on one home."""
    os.environ.update(settings.dbt_environment() | {"DAGSTER_HOME": str(settings.dagster_home.absolute())})
    settings.dagster_home.mkdir(parents=True, exist_ok=True)
    config = settings.dagster_home / "dagster.yaml"
    if not config.exists():
        config.write_text(DAGSTER_CONFIG, encoding="utf-8")


DAGSTER_CONFIG = """\
telemetry: {enabled: false}
nux: {enabled: false}              # no newsletter dialog over the graph
concurrency:
  runs:                            # counted from the runs themselves: a killed run frees its place, a pool's slot it would keep
    max_concurrent_runs: 12        # syncs wait for their destinations most of the time, and must not keep a pass from starting
    tag_concurrency_limits:
      - {key: weft/writes, limit: 1}
      - {key: weft/destination, limit: 1, value: {applyLimitPerUniqueValue: true}}
run_monitoring: {enabled: true, start_timeout_seconds: 180, cancel_timeout_seconds: 180, max_runtime_seconds: 21600}
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}   # steps try again what is transient
freshness: {enabled: true}
retention:
  schedule: {purge_after_days: 90}
  sensor: {purge_after_days: {skipped: 2, failure: 30, success: 90}}
"""
