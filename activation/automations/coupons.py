"""Coupon codes: the same for the same occurrence in every try, and not to be guessed from another; or lines of an uploaded file."""

import hashlib
import hmac
import re
from collections.abc import Iterable

from activation.automations.definitions import AutomationError

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 signs that nobody takes for one another when reading them aloud."""
MOST_CODES = 5_000_000
_CODE = re.compile(r"[\x21-\x7e]{1,64}")


def made_code(salt: str, automation: str, occurrence: str, *, prefix: str, length: int, again: int = 0) -> str:
    """`prefix` and `length` signs (5 bits each) of an HMAC of the occurrence under the installation's salt.

    `again`: another one, where the code is somebody's already.
    """
    said = f"{automation}\n{occurrence}\n{again}".encode()
    digest = hmac.digest(f"weft coupon\n{salt}".encode(), said, hashlib.sha256)
    return prefix + "".join(ALPHABET[byte % 32] for byte in digest[:length])


def codes_of(lines: Iterable[str]) -> list[str]:
    """The codes of a file, one a line, each once. Raises AutomationError with the line that is none, without quoting it."""
    found: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        code = line.strip().removeprefix("\ufeff")
        if not code:
            continue
        if not _CODE.fullmatch(code):
            raise AutomationError(
                f"Line {number} is no code: a code is 1 to 64 visible ASCII characters, one on each line; nothing was loaded."
            )
        found[code] = None
        if len(found) > MOST_CODES:
            raise AutomationError(f"A pool takes {MOST_CODES:,} codes at most; nothing was loaded.")
    if not found:
        raise AutomationError("The file holds no codes; nothing was loaded.")
    return list(found)
