"""A thousand texts that mean harm to SQL, to a template or to a terminal, the same in every process."""

from itertools import cycle, islice

_QUOTES = ["'", '"', "`", "\u2019", "\u02bc", "\uff07", "\\'", "''", "$$", "$1", "%27", "&#39;"]
_STATEMENTS = [
    "; drop table audiences.profiles; --",
    " or 1=1 --",
    " or '1'='1",
    " union select email from audiences.profiles --",
    "); delete from audiences.profiles; --",
    "; copy audiences.profiles to '/tmp/stolen.csv'; --",
    "; attach '/tmp/x.duckdb' as x; --",
    "; install httpfs; load httpfs; --",
    "; set memory_limit='1TB'; --",
    " and pg_sleep(10) --",
    "; select read_text('/etc/passwd'); --",
    "/* */ or true",
    " in (select 1) ",
    "::regclass",
    " is null or true",
    "%s",
    "%(x)s",
    "?",
    "? or ?",
    ":name",
    "$1",
    "{{ env_var('HOME') }}",
    "{% raw %}",
    "{# #}",
    "{}",
    "{0}",
    "\\",
    "\n--\n",
    "\t",
    "\r\n; select 1",
    "\u202e",
    "=cmd|' /C calc'!A0",
    "(a+)+$",
    "[[:alpha:]]{1000}",
    "\x1b[31m",
    "🙂",
    "e\u0301",
    "NULL",
    "null",
    "true",
    "1e309",
    "-0",
    "0x41",
    "profiles.email",
    "customer_id",
    "a" * 180,
]
_ENDS = ["", "'", ";", " --", "/*", "\x7f", " "]


def payloads(count: int = 1_000) -> list[str]:
    """Different texts, none longer than 200 characters."""
    found: dict[str, None] = {}
    for quote in ["", *_QUOTES]:
        for end in _ENDS:
            for statement in _STATEMENTS:
                found.setdefault(f"{quote}{statement}{end}"[:200])
    step = len(found) // count
    return list(islice(cycle(list(found)[::step]), count))
