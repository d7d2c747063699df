r"""One value of an identifier as a shop gives it -> the value by which identifiers meet. Standard library only.

The same exists as dbt macros (SQL) for the warehouse; `normalise_vectors.json` holds both together. Every step is one
expression that DuckDB, PostgreSQL and Spark share: translate, replace, trim, lower by table, regexp on ASCII classes.

    CLEAN (all types)
      1  v := translate(value, SPACES || INVISIBLE, repeat(' ', length(SPACES)))   spaces -> ' ', invisible -> gone
      2  v := trim(both ' ' from v)
      3  null where v = '' or length(v) > 256 (characters)

    email
      4  v := replace(v, ' ', '');  v := translate(v, UPPER, LOWER);  v := regexp_replace(v, '^mailto:', '')
      5  null unless all of v matches EMAIL. Dots and +tags stay: gmail rules are NOT applied.

    phone
      4  v := translate(v, WIDE_DIGITS, repeat('0123456789+', ...)); v := translate(v, UPPER, LOWER)
      5  v := regexp_replace(v, '^(whatsapp|tel|sms|callto):', '')
         where v matches '^[+]?[0-9]{8,}[.]0$': v := substr(v, 1, length(v) - 2)      a number that was a float
      6  where v matches '^[(]?([+]|00)': v := replace(v, '(0)', '')       +49 (0)171 -> +49 171
      7  v := translate(v, SEPARATORS, '')
      8  null unless v matches '^[+]?[0-9]+$'                              letters, extensions, two numbers: null
      9  d := case v matches '^[+]' then substr(v, 2)
                   v matches '^00'  then substr(v, 3)
                   v matches '^0'   then country || substr(v, 2)           national: the 0 is the trunk prefix
                   v starts with country and length(v) >= 11 then v        international, the plus forgotten
                   else country || v end                                   national without a trunk prefix
     10  where d starts with country || '0': d := country || substr(d, length(country) + 2)      +49 0171 -> +49 171
     11  null unless d matches '^[1-9][0-9]{7,14}$' (E.164), else '+' || d

    user_id, loyalty_id, device_id, anonymous_id and every other type
      4  loyalty_id, upi_id: v := replace(v, ' ', '')                      cards are printed in blocks of four
      5  where all of v matches UUID or EMAIL, or the type is upi_id: v := translate(v, UPPER, LOWER); else case is kept

Settled: case is lowered by a table (ASCII and Latin-1) because `lower` differs between the engines (PostgreSQL's "C"
collation, dotted I, final sigma). Unicode is NOT brought to NFC: Spark's SQL cannot. The trunk prefix is 0 everywhere;
numbers of countries where it is another (Russia 8, Hungary 06) must come with their country code, and Italian
landlines, which keep their 0, lose it in every spelling alike.
"""

from __future__ import annotations

import re

MAX_LENGTH = 256
SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
INVISIBLE = (
    "\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x7f\xad\u061c\u180e"
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞ"
LOWER = "abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ"
WIDE_DIGITS = (  # full-width and Arabic-Indic
    "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff0b"
    "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669"
)
PLAIN_DIGITS = "0123456789+0123456789"
SEPARATORS = " -./()[]\u2010\u2011\u2012\u2013\u2014\u2212"
EMAIL = r'[^@ <>,;:"()]+@[^@ <>,;:"()]*[^@ <>,;:"().][.][^@ <>,;:"().]+'
UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

_CLEAN = str.maketrans(SPACES, " " * len(SPACES), INVISIBLE)
_LOWERED = str.maketrans(UPPER, LOWER)
_PLAIN_DIGITS = str.maketrans(WIDE_DIGITS, PLAIN_DIGITS)
_NO_SEPARATORS = str.maketrans("", "", SEPARATORS)
_EMAIL, _UUID = re.compile(EMAIL), re.compile(UUID)
_MAIL_PREFIX, _PHONE_PREFIX = re.compile(r"^mailto:"), re.compile(r"^(whatsapp|tel|sms|callto):")
_INTERNATIONAL, _DIALLED = re.compile(r"^[(]?([+]|00)"), re.compile(r"[+]?[0-9]+")
_COUNTRY, _E164 = re.compile(r"[1-9][0-9]{0,2}"), re.compile(r"[1-9][0-9]{7,14}")
_FLOAT = re.compile(r"[+]?[0-9]{8,}[.]0")
_LENGTH_WITH_COUNTRY = 11


def normalise(identifier_type: str, value: str | None, default_country: str) -> str | None:
    """Give the value that identifiers of this type are compared by, or None where `value` is not one.

    default_country: calling code in digits ('49') for phone numbers written the national way; ValueError otherwise.
    """
    if not _COUNTRY.fullmatch(default_country):
        raise ValueError(f"default_country must be a calling code such as '49', not {default_country!r}.")
    cleaned = (value or "").translate(_CLEAN).strip(" ")
    if not cleaned or len(cleaned) > MAX_LENGTH:
        return None
    if identifier_type == "email":
        return _email(cleaned)
    if identifier_type == "phone":
        return _phone(cleaned, default_country)
    return _name(identifier_type, cleaned)


def _email(value: str) -> str | None:
    value = _MAIL_PREFIX.sub("", value.replace(" ", "").translate(_LOWERED))
    return value if _EMAIL.fullmatch(value) else None


def _phone(value: str, country: str) -> str | None:
    value = _PHONE_PREFIX.sub("", value.translate(_PLAIN_DIGITS).translate(_LOWERED))
    if _FLOAT.fullmatch(value):
        value = value[:-2]
    if _INTERNATIONAL.match(value):
        value = value.replace("(0)", "")
    value = value.translate(_NO_SEPARATORS)
    if not _DIALLED.fullmatch(value):
        return None
    digits = _with_country(value, country)
    if digits.startswith(country + "0"):
        digits = country + digits[len(country) + 1 :]
    return f"+{digits}" if _E164.fullmatch(digits) else None


def _with_country(value: str, country: str) -> str:
    if value.startswith("+"):
        return value[1:]
    if value.startswith("00"):
        return value[2:]
    if value.startswith("0"):
        return country + value[1:]
    if value.startswith(country) and len(value) >= _LENGTH_WITH_COUNTRY:
        return value
    return country + value


def _name(identifier_type: str, value: str) -> str | None:
    if identifier_type in ("loyalty_id", "upi_id"):
        value = value.replace(" ", "")
    if identifier_type == "upi_id" or _UUID.fullmatch(value) or _EMAIL.fullmatch(value):
        return value.translate(_LOWERED)
    return value
