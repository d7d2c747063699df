"""docs/redis-contract.md: its redis-cli examples print what it says, and its keys are those of activation/keys.py."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import redis

from activation import EmbeddedRedis, keys
from activation.redis_server import server_binary
from tests.activation.publications import audience, profile_table, profiles
from tests.activation.test_published_features import features

CONTRACT = (Path(__file__).parents[2] / "docs" / "redis-contract.md").read_text()
CONSOLES = re.findall(r"```console\n(.*?)```", CONTRACT, flags=re.DOTALL)


@pytest.mark.parametrize("console", CONSOLES)
def test_an_example_prints_what_the_document_shows(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, console: str
) -> None:
    table = profile_table({"c1": {"orders": 3, "audiences": ["vip"]}})
    known = features({"c1": (12.0, None, 0.5)}) if "_features" in console else None
    profiles(client, tmp_path / "p.parquet", table, [("email", "ada@example.com", "c1")], features=known)
    audience(client, ["c1"])
    for example in console.split("$ redis-cli ")[1:]:
        command, _, shown = example.partition("\n")
        arguments = [str(server_binary().with_name("redis-cli")), "-p", str(redis_server.port), *shlex.split(command)]
        assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == shown.rstrip("\n") + "\n"


def test_the_document_names_the_keys_that_the_code_spells() -> None:
    spelled = [
        keys.profile_key("{customer_id}"),
        f"{keys.IDENTIFIER_PREFIX}{{type}}:{{value}}",
        keys.PROFILES_MANIFEST,
        keys.AUDIENCE_NAMES,
    ]
    made = (
        keys.audience_pointer_key("N"),
        keys.audience_set_key("N", 7),
        keys.audience_manifest_key("N", 7),
        keys.audience_versions_key("N"),
        keys.audience_pin_key("N"),
    )
    spelled += [key.replace(":N", ":{name}").replace("v7", "v{version}") for key in made]
    assert [key for key in spelled if f"| `{key}` |" not in CONTRACT] == []


@pytest.mark.parametrize("kind", ["", "e:mail", "e mail", "*", "x" * 65])
def test_a_type_that_could_spell_another_key_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="cannot be an identifier type"):
        keys.identifier_key(kind, "value")
