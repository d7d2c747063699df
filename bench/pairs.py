"""Made-up pairs of identifiers in the shape that the reference was measured on (`../shared/reference/performance.md`, part A)."""

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_KIND_BITS: Final = 40
_COOKIE, _EMAIL, _PHONE, _LOYALTY, _DEVICE = (kind << _KIND_BITS for kind in range(5))

REPEATED_SHARE, CHAINED_SHARE = 0.3, 0.05
"""Of the pairs, how many say again what another said, and how many are links of chains of cookies."""
_PAIRS_PER_PERSON: Final = 5.6

PAIRS_TABLE: Final = """
    create or replace table pairs as
    with named as (select place, {left} as a, {right} as b from pair_codes)

    select a, b from named order by place
"""
_NAME: Final = """
    case {code} >> 40
        when 0 then 'anon:' || md5(cast({code} & 1099511627775 as varchar))
        when 1 then 'email:' || substr(md5('e' || ({code} & 1099511627775)), 1, 12) || '@example.com'
        when 2 then 'phone:+1' || (2000000000 + ({code} & 1099511627775))
        when 3 then 'loyalty:' || lpad(cast(({code} & 1099511627775) * 7919 % 99999999977 as varchar), 12, '0')
        else 'device:' || md5('d' || ({code} & 1099511627775))
    end
"""
NAME_PAIRS: Final = PAIRS_TABLE.format(left=_NAME.format(code="one"), right=_NAME.format(code="other"))
"""Writes table `pairs` (a, b: texts) from a relation pair_codes (place, one, other), in the order of `place`."""


def pair_codes(count: int, *, seed: int = 7) -> tuple[Ints, Ints]:
    """`count` pairs in random order, identifiers as integers (kind and number).

    People have one to six cookies on an e-mail or a loyalty card, six in ten a phone, three in ten a second card; one in twenty is
    a hub whose cookies have a Zipf tail (at most 5,000); devices of 2 to 500 people, Zipf too, tie households together, and in the end a
    giant component; cookies handed on 20 to 60 times make chains.
    """
    random = np.random.default_rng(seed)
    chained = int(count * CHAINED_SHARE)
    people = max(int((count * (1 - REPEATED_SHARE) - chained) / _PAIRS_PER_PERSON), 10)
    person = np.arange(people)
    primary = np.where(random.random(people) < 0.75, _EMAIL + person, _LOYALTY + person)

    hubs = random.choice(people, people // 20, replace=False)
    cookies_of = np.concatenate(
        (np.repeat(person, random.integers(1, 7, people)), np.repeat(hubs, _zipf(random, 2.0, len(hubs), 5000)))
    )
    with_phone = person[random.random(people) < 0.6]
    with_card = person[random.random(people) < 0.3]
    users = _zipf(random, 2.2, people * 3 // 100, 499) + 1
    device = np.repeat(np.arange(len(users)), users)
    kinds = [
        (_COOKIE + np.arange(len(cookies_of)), primary[cookies_of]),
        (primary[with_phone], _PHONE + with_phone),
        (primary[with_card], _LOYALTY + people + with_card),
        (_DEVICE + device, primary[random.integers(0, people, len(device))]),
        _chains(random, chained, first=len(cookies_of)),
    ]
    one, other = (np.concatenate(side) for side in zip(*kinds, strict=True))
    kept = random.permutation(len(one))[:count]
    again = kept[random.integers(0, len(kept), count - len(kept))]
    shuffled = random.permutation(np.concatenate((kept, again)))
    return one[shuffled], other[shuffled]


def _zipf(random: np.random.Generator, exponent: float, count: int, most: int) -> Ints:
    return np.minimum(random.zipf(exponent, count), most)


def _chains(random: np.random.Generator, links: int, *, first: int) -> tuple[Ints, Ints]:
    """Chains of 20 to 60 links through cookies of their own, numbered from `first` in random order."""
    lengths = random.integers(20, 61, max(links // 40, 1))
    cookie = _COOKIE + first + random.permutation(int((lengths + 1).sum()))
    is_last = np.zeros(len(cookie), dtype=bool)
    is_last[np.cumsum(lengths + 1) - 1] = True
    start = np.flatnonzero(~is_last)
    return cookie[start], cookie[start + 1]
