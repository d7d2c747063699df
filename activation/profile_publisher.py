"""Publish all profiles and identifiers: only what changed is sent, and each customer's hash is replaced in one step."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import redis

from activation import keys, profile_rows, profile_scripts, resp
from activation.command_stream import CommandStream
from activation.errors import PublicationError, StalePublisherError
from activation.profile_plan import Mode, ProfilesPlan, difference_to_snapshot, everything, is_complete
from activation.profile_rows import fingerprinted
from activation.profile_snapshot import stage_keys, total_checksum
from activation.published_features import feature_names
from activation.published_values import check_numbers, instant_text, text
from activation.session import Session, publishing

_ROWS_PER_TRANSACTION = 512


@dataclass(frozen=True, kw_only=True)
class ProfilesReport:
    """What one call of publish_profiles did: `count` customers and `identifiers` are in Redis now."""

    version: int
    mode: Mode
    count: int
    profiles_written: int
    profiles_removed: int
    identifiers: int
    identifiers_written: int
    identifiers_removed: int
    bytes_sent: int
    commands_sent: int
    seconds: float


def publish_profiles(
    client: redis.Redis,
    *,
    version: int,
    build: int,
    profiles: pa.Table,
    identifiers: pa.Table,
    as_of: datetime,
    snapshot: Path,
    published_at: datetime,
    features: pa.Table | None = None,
    on_step: Callable[[str], None] | None = None,
) -> ProfilesReport:
    """Make Redis hold exactly these profiles (one row per customer) and identifiers (one row per type and value).

    `profiles`: customer_id, any typed columns, `audiences` (list of strings); texts as in column_text. `identifiers`:
    identifier_type, identifier_value (normalised), customer_id; a merged id is an identifier of type customer_id.
    `features`: customer_id, as_of_date, numbers; published as one field of the profile of each customer that has a row.
    Only what differs from the last publication is sent, as `snapshot` (an Arrow file this function keeps) remembers
    it and while Redis's manifest agrees; else everything is sent and stale keys are searched for and removed.
    Identifiers always lead to a profile that is there: profiles first, then identifiers, removals last.
    Raises StalePublisherError for an older build or version (also when a newer publisher starts meanwhile),
    PublicationError when Redis fails, ValueError for tables that cannot be published.
    """
    started = time.perf_counter()
    reached = on_step or (lambda _step: None)
    check_numbers(version=version, build=build)
    people, names = profile_rows.profile_rows(profiles, features), profile_rows.identifier_rows(identifiers)
    with publishing(client, "profiles") as session, ThreadPoolExecutor(1) as background:
        # Where everything is sent anyway, fingerprints are needed only at the end: they are taken meanwhile.
        fingerprints = background.submit(lambda: (fingerprinted(people), fingerprinted(names)))
        known = _manifest(session.redis)
        plan = difference_to_snapshot(known, snapshot, *fingerprints.result()) if is_complete(known, snapshot) else None
        reached("planned")
        _begin(session, version=version, build=build, builds_on=known["writer"] if plan else "")
        reached("begun")
        # Redis is searched only now: until here another publisher may still have written.
        plan = plan or everything(session.redis, people, names)
        staged = background.submit(
            lambda: stage_keys(snapshot, fingerprints.result(), version=version, token=session.token)
        )
        try:
            stamp = profile_rows.stamp_fields(version, instant_text(as_of))
            with session.stream() as stream:
                _write(_FencedWriter(stream, session), plan, people=people, names=names, stamp=stamp, reached=reached)
                stream.wait()
            reached("written")
            os.replace(staged.result(), snapshot)
        finally:
            if staged.exception() is None:
                staged.result().unlink(missing_ok=True)
        reached("snapshot")
        _complete(
            session,
            version=str(version),
            count=str(len(people.names)),
            identifier_count=str(len(names.names)),
            checksum=total_checksum(*fingerprints.result()),
            as_of=instant_text(as_of),
            build=str(build),
            state="complete",
            published_at=instant_text(published_at),
            **({} if features is None else {"features": json.dumps(feature_names(features))}),
        )
        reached("complete")
    return _report(plan, stream, version=version, people=people, names=names, started=started)


def _report(
    plan: ProfilesPlan,
    stream: CommandStream,
    *,
    version: int,
    people: profile_rows.KeyRows,
    names: profile_rows.KeyRows,
    started: float,
) -> ProfilesReport:
    return ProfilesReport(
        version=version,
        mode=plan.mode,
        count=len(people.names),
        profiles_written=len(plan.profiles.send),
        profiles_removed=len(plan.profiles.vanished),
        identifiers=len(names.names),
        identifiers_written=len(plan.identifiers.send),
        identifiers_removed=len(plan.identifiers.vanished),
        bytes_sent=stream.bytes_sent,
        commands_sent=stream.commands_sent,
        seconds=time.perf_counter() - started,
    )


class _FencedWriter:
    """Writes transactions that take effect only while this publication still holds the manifest."""

    def __init__(self, stream: CommandStream, session: Session) -> None:
        self._stream = stream
        self._watch = resp.command("WATCH", keys.PROFILES_MANIFEST)
        sha = text(session.redis.script_load(profile_scripts.FENCE_PROFILES))
        self._fence = resp.command("EVALSHA", sha, 1, keys.PROFILES_MANIFEST, session.token)

    def write(self, rows: pa.Array, *, commands_per_row: int = 1) -> Iterator[int]:
        """Send the rows' commands, some hundred rows in a transaction; yields how many rows each one held."""
        for count, commands in resp.row_slices(rows, _ROWS_PER_TRANSACTION):
            self._stream.transaction([commands], count=count * commands_per_row, fence=self._fence, watch=self._watch)
            yield count


def _write(
    writer: _FencedWriter,
    plan: ProfilesPlan,
    *,
    people: profile_rows.KeyRows,
    names: profile_rows.KeyRows,
    stamp: bytes,
    reached: Callable[[str], None],
) -> None:
    replacing = not plan.is_store_empty
    hashes = profile_rows.profile_commands(people, plan.profiles.send, stamp=stamp, replacing=replacing)
    done, total = 0, max(len(plan.profiles.send), 1)
    for rows in profile_rows.built_ahead(hashes):
        for count in writer.write(rows, commands_per_row=1 + replacing):
            done += count
            reached(f"profiles {done * 100 // total} %")
    for rows in profile_rows.built_ahead(profile_rows.identifier_commands(names, plan.identifiers.send)):
        for _ in writer.write(rows):
            reached("identifiers")
    for kind, vanished in ((names, plan.identifiers.vanished), (people, plan.profiles.vanished)):
        if len(vanished):
            for _ in writer.write(profile_rows.removal_commands(vanished, kind.prefix)):
                reached("removals")


def _manifest(connection: redis.Redis) -> dict[str, str]:
    return {text(key): text(value) for key, value in connection.hgetall(keys.PROFILES_MANIFEST).items()}


def _begin(session: Session, *, version: int, build: int, builds_on: str) -> None:
    answer, *rest = session.redis.eval(
        profile_scripts.BEGIN_PROFILES, 1, keys.PROFILES_MANIFEST, version, build, session.token, builds_on
    )
    if answer == b"stale":
        raise StalePublisherError(
            f"Profiles are at version {text(rest[0])} of build {text(rest[1])} in Redis; version {version} of build "
            f"{build} is older and was not published."
        )
    if answer == b"overtaken":
        raise PublicationError("Another publication of profiles began meanwhile, so this one stopped; publish again.")


def _complete(session: Session, **manifest: str) -> None:
    fields = [part for field in manifest.items() for part in field]
    if not session.redis.eval(profile_scripts.COMPLETE_PROFILES, 1, keys.PROFILES_MANIFEST, session.token, *fields):
        raise StalePublisherError("A newer publication of profiles began before this one ended; its profiles stand.")
