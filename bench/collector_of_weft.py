"""Weft's collector as `weft serve collector` runs it, in an installation of its own: prints its port and a write key."""

from datetime import datetime

from orchestration.resources import build_platform
from orchestration.serving import run_collector


def main() -> None:
    """Serve until told to stop; WEFT_HOME and WEFT_LOG_URL say where."""
    platform = build_platform()
    key, _ = platform.state.keys.create(source="bench", now=datetime(2026, 1, 1))
    run_collector(platform, port=0, on_started=lambda port: print(port, key, flush=True))


if __name__ == "__main__":
    main()
