"""Copies of sets inside Redis."""

import redis

from activation import rollback_scripts as scripts

_COPIED_AT_ONCE = 250_000
_COPIED_PER_PAGE = 5_000


def copy_set(connection: redis.Redis, base: str, copy: str) -> None:
    """Copy a set, a large one in pages, so that nobody waits long; who changes or renames it meanwhile spoils the copy."""
    if connection.scard(base) <= _COPIED_AT_ONCE:
        connection.copy(base, copy)
        return
    copy_page, cursor = connection.register_script(scripts.COPY_PAGE), b"0"
    while (cursor := copy_page(keys=[base, copy], args=[cursor, _COPIED_PER_PAGE])) != b"0":
        continue
