"""How each advertising vendor wants an identifier spelt, and which of them hashed. No two vendors share a rule, and none is guessed.

Rules have versions, because a changed rule changes hashes: a destination stays on the version that it names. What a vendor could not
match, or what could be somebody else's (a phone number without its country), is None and is not sent.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from activation.destinations.us_states import US_STATES

_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_EMAIL = re.compile(r"[^@\s\x00-\x20]+@[^@\s\x00-\x20]+\.[^@\s.\x00-\x20]+")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ].*)?", re.DOTALL)
_PHONE_SEPARATORS = re.compile(r"[ \t\u00a0\u202f./()\[\]\u2010-\u2014\u2212-]")
_ZIP_PLUS_4 = re.compile(r"([0-9]{5})-[0-9]{4}")
_POSTAL_CODE = re.compile(r"[0-9A-Za-z][0-9A-Za-z -]{0,14}")
_US_POSTAL_CODE = re.compile(r"[0-9]{5}(?:-?[0-9]{4})?")
_GMAIL = frozenset({"gmail.com", "googlemail.com"})
_TITLES = re.compile(r"(?:mrs|mr|ms|miss|dr|prof)(?:\.\s*|\s+)(?=\S)")
_SUFFIXES = re.compile(r"(?<=[^\s,])[\s,]+(?:jr|sr|ii|iii|iv|esq|phd)\.?$")
_GENDERS = {"f": "f", "female": "f", "woman": "f", "m": "m", "male": "m", "man": "m"}


@dataclass(frozen=True)
class Rule:
    """`normalise` gives the spelling that is sent, or hashed; None where the value is none."""

    normalise: Callable[[str], str | None]
    is_hashed: bool = True


def sha256(text: str) -> str:
    """64 lower-case hex digits of its UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def identifier(rule: Rule, value: object) -> str | None:
    """What is sent of a profile's value under `rule`: its hash, or its spelling where the vendor wants none. None: nothing."""
    if value is None:
        return None
    spelt = rule.normalise(_text(value))
    return spelt if spelt is None or not rule.is_hashed else sha256(spelt)


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, date) else str(value)


# --- what both vendors ask for in the same way is still written once per vendor below; these are the parts of it


def _lower(value: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value.strip()).lower())


def _plain_email(value: str) -> str | None:
    email = _lower(value)
    return email if _EMAIL.fullmatch(email) else None


def _e164(value: str) -> str | None:
    """A number that says its country; one that does not could be somebody else's."""
    number = _PHONE_SEPARATORS.sub("", value.strip())
    number = f"+{number[2:]}" if number.startswith("00") else number
    return number if _E164.fullmatch(number) else None


# --- Meta: developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences#hash


def _meta_phone(value: str) -> str | None:
    number = _e164(value)
    return number and number[1:]


def _meta_letters(value: str) -> str | None:
    """Lower case without punctuation and spaces; accents and other alphabets stay, in UTF-8."""
    kept = "".join(sign for sign in value if unicodedata.category(sign)[0] not in "PSZC")
    return _lower(kept) or None


def _meta_initial(value: str) -> str | None:
    letters = _meta_letters(value)
    return letters and letters[0]


def _meta_state(value: str) -> str | None:
    """A state of the US by its two letters, any other by its name."""
    name = " ".join(value.split()).lower()
    return US_STATES.get(name) or _meta_letters(name.removeprefix("us-"))


def _meta_zip(value: str) -> str | None:
    """Of a ZIP+4 the first five digits."""
    code = _lower(value)
    plus_4 = _ZIP_PLUS_4.fullmatch(code)
    return plus_4[1] if plus_4 else re.sub(r"[\s-]", "", code) or None


def _meta_country(value: str) -> str | None:
    code = value.strip().lower()
    return code if re.fullmatch("[a-z]{2}", code) else None


def _meta_gender(value: str) -> str | None:
    return _GENDERS.get(value.strip().lower())


def _part_of_birth(part: int, digits: int, low: int, high: int) -> Callable[[str], str | None]:
    def normalise(value: str) -> str | None:
        whole = _ISO_DATE.fullmatch(value.strip())
        text = whole[part] if whole else value.strip()
        if not re.fullmatch(f"[0-9]{{1,{digits}}}", text) or not low <= int(text) <= high:
            return None
        return text.zfill(digits)

    return normalise


def _meta_device(value: str) -> str | None:
    """None for the id that stands for "does not want to be tracked"."""
    device = value.strip().lower()
    return device if _UUID.fullmatch(device) and device != _NO_DEVICE else None


def _as_it_is(value: str) -> str | None:
    return value or None


_META: dict[str, Rule] = {
    "EMAIL": Rule(_plain_email),
    "PHONE": Rule(_meta_phone),
    "FN": Rule(_meta_letters),
    "LN": Rule(_meta_letters),
    "FI": Rule(_meta_initial),
    "CT": Rule(_meta_letters),
    "ST": Rule(_meta_state),
    "ZIP": Rule(_meta_zip),
    "COUNTRY": Rule(_meta_country),
    "GEN": Rule(_meta_gender),
    "DOBY": Rule(_part_of_birth(1, 4, 1900, 2100)),
    "DOBM": Rule(_part_of_birth(2, 2, 1, 12)),
    "DOBD": Rule(_part_of_birth(3, 2, 1, 31)),
    "MADID": Rule(_meta_device, is_hashed=False),
    "EXTERN_ID": Rule(_as_it_is, is_hashed=False),
}


# --- Google: developers.google.com/data-manager/api/devguides/concepts/formatting


def _google_email(*, without_plus_part: bool) -> Callable[[str], str | None]:
    def normalise(value: str) -> str | None:
        email = _plain_email("".join(value.split()))
        if email is None:
            return None
        name, _, domain = email.rpartition("@")
        if domain in _GMAIL:
            name = name.partition("+")[0] if without_plus_part else name
            name = name.replace(".", "")
        return f"{name}@{domain}" if name else None

    return normalise


def _google_given_name(value: str) -> str | None:
    """Without titles before it."""
    name = _lower(value)
    while title := _TITLES.match(name):
        name = name[title.end() :]
    return name or None


def _google_family_name(value: str) -> str | None:
    """Without what stands behind it."""
    name = _lower(value)
    while (shorter := _SUFFIXES.sub("", name)) != name:
        name = shorter
    return name or None


def _google_region(value: str) -> str | None:
    code = value.strip().upper()
    return code if re.fullmatch("[A-Z]{2}", code) else None


def _google_postal_code(value: str) -> str | None:
    code = value.strip()
    return code if _POSTAL_CODE.fullmatch(code) else None


def is_postal_code_of(region: str, code: str) -> bool:
    """Whether Google takes the code for the region: of the US five digits or nine; of other regions it is not checked."""
    return region != "US" or _US_POSTAL_CODE.fullmatch(code) is not None


def _google(*, without_plus_part: bool) -> dict[str, Rule]:
    return {
        "email": Rule(_google_email(without_plus_part=without_plus_part)),
        "phone": Rule(_e164),
        "given_name": Rule(_google_given_name),
        "family_name": Rule(_google_family_name),
        "region_code": Rule(_google_region, is_hashed=False),
        "postal_code": Rule(_google_postal_code, is_hashed=False),
    }


RULES: Mapping[str, Mapping[str, Rule]] = {
    "meta-1": _META,
    # of gmail.com and googlemail.com only the dots went, until in 2026 the page (and the vendor's own library) also took the plus part
    "google-1": _google(without_plus_part=False),
    "google-2": _google(without_plus_part=True),
}
"""The rules of a vendor, by name and version, then by field."""
