"""A collector in a process of its own that takes uploads; prints its port.

`python -m tests.orchestration.upload_collector HOME [FILE_BYTES]`: no file may grow beyond FILE_BYTES.
"""

import resource
import signal
import sys

from ingestion.collector.app import create_app
from ingestion.collector.serving import serve
from ingestion.collector.settings import CollectorSettings, Connections
from orchestration.failpoints import failpoints
from orchestration.resources import build_platform
from orchestration.uploads import collector_uploads
from tests.ingestion.collector.senders import Keys, MemoryLog


def main(home: str, file_bytes: str = "") -> None:
    platform = build_platform(home=home)
    uploads = collector_uploads(platform)
    if file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
    settings = CollectorSettings(keys=Keys(), uploads=uploads, on_step=failpoints("collector"))
    app = create_app(settings, MemoryLog())
    serve(app, Connections(), host="127.0.0.1", port=0, on_started=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
