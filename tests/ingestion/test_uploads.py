"""The spool of uploads by itself: what a kill between two steps leaves, what is swept, and how gzip is counted."""

import gzip
import random
import time
from pathlib import Path

import pytest

from ingestion.unpacked_count import UnpackedCount
from ingestion.upload_errors import UploadError
from ingestion.uploads import Spool, Upload, label_of

DAY = 86_400


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "uploads", 1_000_000)


def received(spool: Spool, content: bytes = b"a,b\n1,2\n") -> Upload:
    receiving = spool.begin(source="files", name="a.csv")
    receiving.write(content)
    upload = receiving.finish()
    receiving.abandon()  # as every caller does at the end
    return upload


def test_killed_between_the_facts_and_the_move_a_confirmation_can_be_repeated_with_any_mapping(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    upload = received(spool)
    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(Path, "mkdir", killed)  # the facts are written, the file is not moved
        spool.confirm(upload, mapping="products", inbox=tmp_path / "inbox")
    assert spool.find(upload.id, source="files").mapping == "products"
    assert spool.file_of(upload) is not None
    confirmed = spool.confirm(upload, mapping="segment", inbox=tmp_path / "inbox")
    [file] = (tmp_path / "inbox").rglob("*.csv")
    assert file == tmp_path / "inbox" / "segment" / str(confirmed.file)


def test_the_sweep_takes_leftovers_and_what_nobody_confirmed_and_nothing_else(spool: Spool, tmp_path: Path) -> None:
    kept, confirmed = received(spool), received(spool)
    spool.confirm(confirmed, mapping="products", inbox=tmp_path / "inbox")
    spool.begin(source="files", name="b.csv").write(b"half")
    (spool.folder / "somebody-else.txt").write_text("x")
    now = time.time()
    assert spool.sweep(now) == 0
    assert spool.sweep(now + 2 * DAY) == 1  # the half one
    assert spool.file_of(kept) is not None
    assert spool.sweep(now + 8 * DAY) == 1
    assert spool.file_of(kept) is None
    assert spool.find(confirmed.id, source="files").mapping == "products"
    assert spool.sweep(now + 100 * DAY) == 2
    assert {path.name for path in spool.folder.iterdir()} == {"somebody-else.txt", ".lock"}
    assert len(list((tmp_path / "inbox").rglob("*.csv"))) == 1


def test_a_label_is_plain_text(spool: Spool) -> None:
    assert label_of("../../My orders (2026).csv.gz") == "My-orders-2026"
    assert label_of(".csv") == "file"


@pytest.mark.parametrize("chunk", [1, 7, 1000, 1 << 20])
def test_what_comes_out_of_gzip_is_counted_whatever_the_pieces(chunk: int) -> None:
    draw = random.Random(2)
    content = bytes(draw.choices(b"abc\n", k=20_000))
    packed = gzip.compress(content) + gzip.compress(content) + b"\0\0\0"

    def count(limit: int, data: bytes) -> None:
        counted = UnpackedCount(limit)
        for start in range(0, len(data), chunk):
            counted.feed(data[start : start + chunk])
        counted.close()

    count(40_000, packed)
    with pytest.raises(UploadError, match="larger than 39,999 bytes"):
        count(39_999, packed)
    with pytest.raises(UploadError, match="cut off"):
        count(40_000, gzip.compress(content)[:-5])
    with pytest.raises(UploadError, match="is not, or is damaged"):
        count(40_000, gzip.compress(content) + b"noise after the end")
