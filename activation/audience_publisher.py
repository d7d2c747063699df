"""Publish one audience version: what it needs is staged beside the old one, then set, manifest and pointer switch in one
step: a small difference is taken into the old version's set, anything else becomes a set of its own."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import redis

from activation import audience_scripts as scripts
from activation import keys, resp
from activation.audience_copy import copy_set
from activation.audience_plan import Mode, Plan, Target, plan_publication, refuse_stale, target_version
from activation.audience_snapshot import stage_members
from activation.command_stream import CommandStream
from activation.confirmation import life_time
from activation.errors import PublicationError
from activation.published_values import check_numbers, instant_text, text
from activation.session import Session, publishing

OnStep = Callable[[str], None]
_MEMBERS_PER_COMMAND = 1000
_ATTEMPTS = 8


@dataclass(frozen=True, kw_only=True)
class PublicationReport:
    """What one call of publish_audience did. Counts are customers; bytes and commands are what bulk writing sent."""

    name: str
    version: int
    mode: Mode
    count: int
    added: int
    removed: int
    unchanged: int
    bytes_sent: int
    commands_sent: int
    seconds: float
    pinned_version: int | None
    """Version a rollback holds the pointer at; None = readers see the version just published."""


class _OvertakenError(PublicationError):
    """What was prepared is no longer whole, because another publication ran at the same time."""


def publish_audience(
    client: redis.Redis,
    *,
    name: str,
    version: int,
    build: int,
    members: pa.Array | pa.ChunkedArray,
    as_of: datetime,
    definition_hash: str,
    published_at: datetime,
    snapshot: Path | None = None,
    keep_versions: int = 3,
    expires_after: timedelta | None = None,
    on_step: OnStep | None = None,
) -> PublicationReport:
    """Make `members` (customer ids, distinct) the version `version` of audience `name`; readers see old or new, whole.

    Sends the difference to the newest version in Redis where that version's set still matches its own manifest, else
    everything. `snapshot` (an Arrow file this function keeps, one per audience) saves reading that set back: each call
    then reads a fiftieth of it, so a member exchanged by a stranger's hand is found within fifty publications.
    Repeating a call is harmless, also after a crash: it finishes and clears what was left. While a
    rollback is pinned, the version is stored but the pointer stays (`report.pinned_version`). `as_of` and
    `published_at` are naive UTC; `on_step` is called with the name of each step reached. `expires_after`: all keys of
    the audience go when it was neither published nor confirmed for so long; None = never.
    Raises StalePublisherError for an older build or version, PublicationError when Redis fails, ValueError for a
    name, id or number that cannot be published.
    """
    started = time.perf_counter()
    reached = on_step or (lambda _step: None)
    check_numbers(version=version, build=build)
    if keep_versions < 1:
        raise ValueError(f"keep_versions is {keep_versions}; at least the current version must be kept.")
    with publishing(client, f"audience {name!r}") as session:
        target = target_version(name=name, version=version, build=build, members=members, token=session.token)
        manifest = {
            "version": str(version),
            "count": str(len(target.members)),
            "checksum": target.checksum,
            "as_of": instant_text(as_of),
            "definition_hash": definition_hash,
            "build": str(build),
            "published_at": instant_text(published_at),
        } | life_time(expires_after)
        with session.stream() as stream:
            for attempt in range(_ATTEMPTS):
                plan = plan_publication(session.redis, target, snapshot if attempt == 0 else None)
                reached("planned")
                if plan.mode != "nothing":
                    _build(session, stream, target, plan, reached)
                try:
                    pinned = _switch(session, target, plan, manifest=manifest, keep_versions=keep_versions)
                except _OvertakenError:
                    # another publication dropped what this one was built upon; what stands now is a new base
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    break
        reached("switched")
        if snapshot is not None:
            _remember(snapshot, target, plan, token=session.token)
            reached("remembered")
        return PublicationReport(
            name=name,
            version=version,
            mode=plan.mode,
            count=len(target.members),
            added=len(plan.added),
            removed=len(plan.removed),
            unchanged=len(target.members) - len(plan.added),
            bytes_sent=stream.bytes_sent,
            commands_sent=stream.commands_sent,
            seconds=time.perf_counter() - started,
            pinned_version=pinned,
        )


def _remember(snapshot: Path, target: Target, plan: Plan, *, token: str) -> None:
    staged = stage_members(
        snapshot,
        target.members,
        target.hashes,
        name=target.name,
        version=target.version,
        checked_until=plan.checked_until,
        token=token,
    )
    os.replace(staged, snapshot)


def _build(session: Session, stream: CommandStream, target: Target, plan: Plan, reached: OnStep) -> None:
    staging = target.staging
    session.redis.zadd(keys.audience_staging_registry_key(target.name), {staging: target.build})
    reached("registered")
    removals, additions = (b"SREM", staging), (b"SADD", staging)
    if plan.is_in_place:
        removals, additions = (b"SADD", f"{staging}:removed"), (b"SADD", f"{staging}:added")
    elif plan.base is not None:
        copy_set(session.redis, keys.audience_set_key(target.name, plan.base.version), staging)
        reached("copied")
    sent = [("removed", *removals, plan.removed)] if plan.base is not None else []
    for step, command, key, members in [*sent, ("added", *additions, plan.added)]:
        for number, (count, commands) in enumerate(_set_commands(command, key, members)):
            for part in commands[:-1]:
                stream.send(part, count=0)
            stream.send(commands[-1], count=1)
            reached(f"{step} {(number * _MEMBERS_PER_COMMAND + count) * 100 // len(members)} %")
    stream.wait()
    reached("staged")


def _set_commands(name: bytes, key: str, members: pa.Array) -> Iterator[tuple[int, list[bytes | memoryview]]]:
    if not len(members):
        return
    rows = resp.joined(resp.bulk_pieces(members))
    for count, arguments in resp.row_slices(rows, _MEMBERS_PER_COMMAND):
        yield count, [resp.header(name, count + 2) + resp.bulk(key.encode()), arguments]


def _switch(
    session: Session, target: Target, plan: Plan, *, manifest: dict[str, str], keep_versions: int
) -> int | None:
    changed = plan.base if plan.is_in_place else None
    answer, *rest = session.redis.eval(
        scripts.SWITCH_AUDIENCE,
        2,
        keys.audience_prefix(target.name),
        keys.AUDIENCE_NAMES,
        target.version,
        target.build,
        len(target.members),
        keep_versions,
        "" if plan.mode == "nothing" else target.staging,
        "" if plan.damaged_version is None else plan.damaged_version,
        target.name,
        *((changed.version, changed.checksum) if changed else ("", "")),
        len(plan.added),
        len(plan.removed),
        manifest.get("expires_after", ""),
        *(part for field in manifest.items() for part in field),
    )
    if answer == b"stale":
        refuse_stale(target, newest=text(rest[0]), build=text(rest[1]))
    if answer == b"overtaken":
        raise _OvertakenError(
            f"Another publication of audience {target.name!r} ran at the same time and removed what this one had "
            "prepared; nothing was switched, publish again."
        )
    return int(rest[0]) if rest[0] else None
