"""Readers during publications see one whole version; the same readers see torn ones of a naive publisher."""

import threading
from collections.abc import Callable, Iterable

import redis

from activation import EmbeddedRedis, Reader
from activation.errors import AudienceChangedError
from tests.activation.publications import audience

VERSIONS = range(2, 32)
READERS = 4


def members_of(version: int) -> list[str]:
    return [f"{version}:{number}" for number in range(2_000 + 100 * version)] + [f"all:{n}" for n in range(2_000)]


def is_whole(members: Iterable[str]) -> bool:
    found = set(members)
    versions = {int(member.split(":")[0]) for member in found if not member.startswith("all:")}
    return len(versions) == 1 and found == set(members_of(versions.pop()))


def torn_reads(
    server: EmbeddedRedis, publish: Callable[[int], None], read: Callable[[redis.Redis], Iterable[str]]
) -> int:
    """How many reads of four threads were torn while all versions were published, one after the other."""
    ended, torn, reads = threading.Event(), [0] * READERS, [0] * READERS

    def keep_reading(reader: int) -> None:
        with server.client() as client:
            while not ended.is_set():
                try:
                    torn[reader] += not is_whole(read(client))
                except AudienceChangedError:
                    continue  # said so instead of mixing two versions
                reads[reader] += 1

    threads = [threading.Thread(target=keep_reading, args=(reader,)) for reader in range(READERS)]
    publish(1)
    for thread in threads:
        thread.start()
    for version in VERSIONS:
        publish(version)
    ended.set()
    for thread in threads:
        thread.join()
    assert all(reads)
    return sum(torn)


def test_no_reader_ever_sees_a_half_published_audience(redis_server: EmbeddedRedis, client: redis.Redis) -> None:
    def publish(version: int) -> None:
        audience(client, members_of(version), version=version)

    assert torn_reads(redis_server, publish, lambda reader: Reader(reader).members("vip", page_size=500)) == 0


def test_the_same_readers_do_see_torn_versions_of_a_naive_publisher(
    redis_server: EmbeddedRedis, client: redis.Redis
) -> None:
    def publish(version: int) -> None:
        pipeline = client.pipeline(transaction=False)
        pipeline.delete("naive")
        members = members_of(version)
        for start in range(0, len(members), 100):
            pipeline.sadd("naive", *members[start : start + 100])
            pipeline.execute()

    assert torn_reads(redis_server, publish, lambda reader: map(bytes.decode, reader.smembers("naive"))) > 0
