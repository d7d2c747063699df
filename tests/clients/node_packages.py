"""The packages of package.json as npm installs them, once a machine, outside of the checkout."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

_WANTED = Path(__file__).with_name("package.json")
_PATIENCE = 180
# no lock file: versions are exact, and a lock file names a registry
_INSTALL = (
    "npm install --no-package-lock --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error --fetch-retries=1 "
    "--fetch-retry-mintimeout=1000 --fetch-timeout=30000"
)


def node() -> str:
    """The path of Node.js; the test is skipped where the machine has none."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("There is no Node.js with npm on this machine: apt-get install --no-install-recommends nodejs npm")
    return found


def installed_packages() -> Path:
    """The folder node_modules; the test is skipped where npm is missing or cannot install."""
    node()
    wanted = _WANTED.read_bytes()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft-tests"
    caches.mkdir(parents=True, exist_ok=True)
    folder = caches / f"node-{hashlib.sha256(wanted).hexdigest()[:16]}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _install(wanted, folder)
    return folder / "node_modules"


def _install(wanted: bytes, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        made = Path(aside) / "packages"
        made.mkdir()
        (made / _WANTED.name).write_bytes(wanted)
        try:
            subprocess.run(_INSTALL.split(), cwd=made, check=True, capture_output=True, timeout=_PATIENCE)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            told = (error.stderr or b"").decode(errors="replace").strip().splitlines()
            reason = told[0] if told else "no answer"
            pytest.skip(
                f"npm could not install the clients of {_WANTED.name} ({reason}): give npm a registry, and run again."
            )
        made.rename(folder)
