"""What uploads need of an installation: their folder, the preview, and what became of a confirmed file."""

import time
from functools import partial

from ingestion.collector.settings import Uploads
from ingestion.uploads import Books, Spool, Upload
from orchestration.collecting import inbox_problems
from orchestration.errors import NothingServedError
from orchestration.resources import Platform
from orchestration.settings import Settings
from orchestration.upload_preview import preview_file

_COUNTS = ("rows_read", "accepted", "rejected", "duplicates", "conflicts")
_LANDED = (
    f"select {', '.join(_COUNTS)} from raw.landings where mapping = ? and file_sha256 = ? order by landed_at limit 1"
)


def spool(settings: Settings) -> Spool:
    """The folder where uploads wait for their confirmation."""
    return Spool(settings.home / "uploads", settings.upload_mb * 1_000_000)


def collector_uploads(platform: Platform) -> Uploads:
    """What the collector's routes of uploads are given; leftovers are swept."""
    settings = platform.settings
    waiting = spool(settings)
    waiting.sweep(time.time())
    return Uploads(
        waiting.folder,
        waiting.limit_bytes,
        inbox=settings.inbox,
        preview=partial(preview_file, warehouse=platform.warehouse),
        books=partial(books, platform),
    )


def books(platform: Platform, upload: Upload) -> Books | None:
    """What became of a confirmed upload, as the served build and the last landing say; None: nothing yet.

    A file with the same bytes that landed before is the same file: its books are these.
    """
    try:
        with platform.warehouse.open_served() as served:
            landed = served.rows(_LANDED, [upload.mapping, upload.sha256])
    except NothingServedError:
        landed = []
    if landed:
        return Books("landed", dict(zip(_COUNTS, landed[0], strict=True)))
    problem = inbox_problems(platform.state).get(f"{upload.mapping}/{upload.file}")
    return Books("refused", problem=problem) if problem else None
