"""People whose addresses and numbers a fake vendor knows, each hashed as the vendor wants it and in the ways that are commonly wrong.

Written from the vendors' pages alone, and apart from `activation.destinations.hashing`, which it is there to find out.
"""

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True)
class Person:
    """E-mail addresses in lower case, phone numbers as E.164."""

    name: str
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()


@dataclass
class KnownHashes:
    """Hash to the person it finds, and hash to what was done wrong to get it."""

    right: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def add(self, person: str, right: str, wrong: dict[str, str]) -> None:
        """One spelling, and wrong ones by what is wrong with them."""
        self.right[_hashed(right)] = person
        for spelling, mistake in wrong.items():
            if spelling != right:
                self.wrong[_hashed(spelling)] = mistake


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def at_meta(people: tuple[Person, ...]) -> KnownHashes:
    """Gmail's dots and plus part stay; a phone number has no plus."""
    known = KnownHashes()
    for person in people:
        for email in person.emails:
            user, _, domain = email.partition("@")
            without_dots = f"{user.replace('.', '')}@{domain}"
            without_plus = f"{user.split('+')[0]}@{domain}"
            both = f"{user.split('+')[0].replace('.', '')}@{domain}"
            gmail = "e-mail hashed by Google's rule for gmail.com"
            mistakes = {without_dots: gmail, without_plus: gmail, both: gmail, **_careless(email)}
            known.add(person.name, email, mistakes)
        for phone in person.phones:
            known.add(person.name, phone[1:], {phone: "phone hashed with a plus", f"00{phone[1:]}": "phone with 00"})
    return known


def at_google(people: tuple[Person, ...]) -> KnownHashes:
    """Gmail's dots and plus part go; a phone number has a plus."""
    known = KnownHashes()
    for person in people:
        for email in person.emails:
            user, _, domain = email.partition("@")
            is_gmail = domain in ("gmail.com", "googlemail.com")
            right = f"{user.split('+')[0].replace('.', '')}@{domain}" if is_gmail else email
            known.add(person.name, right, {email: "gmail.com with its dots or plus part", **_careless(email)})
        for phone in person.phones:
            known.add(person.name, phone, {phone[1:]: "phone hashed without its plus"})
    return known


def _careless(email: str) -> dict[str, str]:
    return {
        email.upper(): "e-mail not in lower case",
        email.capitalize(): "e-mail not in lower case",
        f" {email}": "e-mail with a space",
        f"{email}\n": "e-mail with a line end",
    }


PUBLISHED = (
    Person("John", ("john_smith@gmail.com",), ("+16505551212",)),
    Person("Cloudy", ("cloudy.sanfrancisco+shopping@gmail.com",), ("+18005550110",)),
    Person("Dana", ("dana@example.com", "danam@example.com")),
    Person("Alex", ("alexf@example.com",), ("+18005550100",)),
)
"""From the pages of both vendors."""
