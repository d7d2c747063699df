"""Who a shop's document is about: the shop's number of a customer, with e-mail address and phone beside it."""

from typing import NamedTuple

from ingestion.normalise.documents import identifiers, text
from ingestion.normalise.lines import Identifier
from ingestion.normalise.source_settings import SourceSettings


class Person(NamedTuple):
    """The identifiers that an event of this person carries."""

    user_id: str | None
    identifiers: list[Identifier]


def person(
    settings: SourceSettings, customer_id: object, *, emails: tuple[object, ...] = (), phones: tuple[object, ...] = ()
) -> Person:
    """A person by a shop's number of the customer (0 or null: a guest), and what else names them.

    The number is the `user_id`, as the shop's own pages tell it to the tracker, unless the source's settings name another type.
    """
    number = text(customer_id)
    if number == "0":
        number = None
    named = [("email", email) for email in emails] + [("phone", phone) for phone in phones]
    if settings.customer_id == "user_id":
        return Person(number, identifiers(*named))
    return Person(None, identifiers((settings.customer_id, number), *named))
