"""The demo shop's write key. It is public, every page shows it; it is kept in a file so that the shop has the same one tomorrow."""

import os
from pathlib import Path

from orchestration.api_keys import hashed
from orchestration.resources import Platform
from orchestration.state import utc_now

SHOP_SOURCE = "web"
_NAME = "demo shop"


def key_file(platform: Platform) -> Path:
    """Where the key is kept, readable by its owner only."""
    return platform.settings.home / "shop_key"


def shop_key(platform: Platform) -> str:
    """The shop's key; made once. One that was revoked stays revoked until its file is removed."""
    file = key_file(platform)
    known = {key.key_hash for key in platform.state.keys.list()}
    for _ in range(2):
        if file.exists() and hashed(kept := file.read_text(encoding="ascii").strip()) in known:
            return kept
        key, made = platform.state.keys.create(source=SHOP_SOURCE, name=_NAME, now=utc_now())
        known.add(made.key_hash)
        _keep(file, key)
    raise AssertionError("the key that was just kept is known")


def is_revoked(platform: Platform, key: str) -> bool:
    """Whether the collector refuses the shop's key."""
    return hashed(key) not in platform.state.keys.live()


def _keep(file: Path, key: str) -> None:
    waiting = file.with_name(f".{file.name}.{os.getpid()}")
    waiting.unlink(missing_ok=True)
    with open(os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(key + "\n")
        out.flush()
        os.fsync(out.fileno())
    waiting.replace(file)
