"""The API as a process: activation's routes over this installation's Redis, keys and definitions."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from activation.api.app import create_api
from activation.api.settings import ApiSettings, KeysUnreadableError, Scorer
from activation.errors import StoreUnavailableError
from activation.reader import Reader
from ingestion.collector.serving import serve
from ingestion.collector.settings import Connections
from ingestion.collector.settings import KeysUnreadableError as CollectorKeysUnreadableError
from orchestration.api_keys import ApiKey
from orchestration.key_ring import StateKeys
from orchestration.ports import refuse_taken_port
from orchestration.publishing import online_store
from orchestration.resources import Platform
from orchestration.rule_author import ApiAuthor
from orchestration.serving import LOOPBACK, close_at_the_end, say_on_stderr
from orchestration.transform import prepare_manifest, read_manifest

if TYPE_CHECKING:
    from orchestration.on_demand import ChampionModels

SCORED_ON = "predicted_on"
"""The profile's column with the date that its scores were predicted on."""
ANSWER_SECONDS = 2.0
"""Redis answers a reader in milliseconds; one that is silent for so long is away."""


_LOG = logging.getLogger("weft.api")


class ApiKeyScopes:
    """The API's view of the keys: their scopes, by hash."""

    def __init__(self, keys: StateKeys) -> None:
        self._keys = keys

    async def scopes_of(self, key_hash: str) -> frozenset[str] | None:
        """See activation's KeyRing."""
        try:
            facts = await self._keys.source_of(key_hash)
        except CollectorKeysUnreadableError:
            raise KeysUnreadableError("The keys cannot be read at this moment; ask again.") from None
        return facts.scopes if facts else None


class ModelsWhenAsked:
    """The API's view of the models. Their libraries are loaded when the first is asked, and not by an API that nobody asks."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._models: ChampionModels | None = None
        self._lock = threading.Lock()

    def scorer(self, model: str) -> Scorer:
        """See activation's Predictor."""
        return self._loaded().scorer(model)

    def prepare(self, reader: Reader) -> None:
        """Load what the first answer needs, where features are published, so that nobody waits for it."""
        try:
            if reader.has_features():
                self._loaded().prepare()
        except StoreUnavailableError as error:
            _LOG.warning("The models are loaded when they are asked: %s", error)

    def _loaded(self) -> "ChampionModels":
        with self._lock:
            if self._models is None:
                from orchestration.on_demand import ChampionModels  # noqa: PLC0415 - see above

                self._models = ChampionModels(self._platform)
        return self._models


def api_settings(platform: Platform, models: ModelsWhenAsked | None = None) -> ApiSettings:
    """What the API of this installation goes by. The keys are read when the first request shows one."""
    types, scores = _columns(read_manifest())

    def live_keys() -> dict[str, ApiKey]:
        return platform.state.keys.live()  # the state's tables may have to be made first: not before a thread asks

    return ApiSettings(
        keys=ApiKeyScopes(StateKeys(live_keys)),
        author=ApiAuthor(platform),
        predictor=models or ModelsWhenAsked(platform),
        field_types=types,
        score_fields=scores,
        scored_on=SCORED_ON,
    )


def _columns(manifest: Mapping[str, Any]) -> tuple[dict[str, str], frozenset[str]]:
    """The types of the profile's columns, and which of them the 360 does not have: models predicted those."""
    models = {node["name"]: node["columns"] for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    types = {name: str(column["data_type"]) for name, column in models["profiles"].items()}
    return types, frozenset(types) - frozenset(models["customers"]) - {SCORED_ON}


def run_api(
    platform: Platform, *, host: str = LOOPBACK, port: int, on_started: Callable[[int], None] = lambda port: None
) -> None:
    """Answer until the process is told to end. Raises ServiceError with one sentence where the port is taken."""
    say_on_stderr()
    refuse_taken_port(host, port, "WEFT_API_PORT or --port")
    prepare_manifest(platform.settings)
    with ExitStack() as stack:
        close_at_the_end(stack)
        client = stack.enter_context(online_store(platform.settings, answer_seconds=ANSWER_SECONDS))
        reader = Reader(client, default_country=platform.rules.default_country)
        models = ModelsWhenAsked(platform)
        threading.Thread(target=models.prepare, args=[reader], name="models", daemon=True).start()
        serve(
            create_api(api_settings(platform, models), reader),
            Connections(),
            host=host,
            port=port,
            on_started=on_started,
        )
