"""What is true stands in truth, all of it, and nowhere else."""

import pyarrow.parquet as pq


def test_only_truth_tells_who_is_who(shop):
    sources = shop.summary.out
    for path in shop.summary.files:
        if path.parent.name == "truth":
            continue
        names = pq.read_schema(path).names if path.suffix == ".parquet" else path.read_text().split("\n", 1)[0]
        assert "person" not in str(names).replace("personalisation", ""), path.relative_to(sources)
    hidden = shop.one("select count(*) from web where concat(properties, context, traits) like '%person_id%'")
    assert hidden == (0,)


def test_ids_do_not_follow_the_order_of_the_people(shop):
    for column, table in (("user_id", "web"), ("anonymous_id", "web"), ("message_id", "web"), ("loyalty_id", "pos")):
        (correlation,) = shop.one(
            f"select corr(person_id, place) from (select person_id, row_number() over (order by {column}) as place "
            f"from {table} join truth_event_owners using (message_id) where {column} is not null and person_id is not null)"
        )
        assert abs(correlation) < 0.25, column


def test_every_event_has_one_row_in_the_books(shop):
    written = shop.one(
        "select count(*) from (select 'simulator_web' as source, message_id from web "
        "union all select 'simulator_pos', message_id from pos "
        "union all select distinct 'simulator_whatsapp', message_id from whatsapp)"
    )
    matched = shop.one(
        "select count(*), count(distinct (source, message_id)) from truth_event_owners semi join "
        "(select 'simulator_web' as source, message_id from web union all select 'simulator_pos', message_id from pos "
        "union all select 'simulator_whatsapp', message_id from whatsapp) using (source, message_id)"
    )
    booked = shop.one("select count(*) from truth_event_owners")
    assert written == booked
    assert matched == (*booked, *booked)


def test_bots_and_strangers_own_nothing(shop):
    assert shop.one("select count(*) from truth_event_owners join truth_people using (person_id) where is_bot") == (0,)
    assert shop.one("select count(*) from truth_event_owners where person_id is null")[0] > 100


def test_the_identifiers_of_truth_are_those_that_events_of_their_owners_show(shop):
    shown = (
        "select person_id, type, value from (select message_id, unnest([{type: 'user_id', value: user_id}, "
        "{type: 'anonymous_id', value: anonymous_id}, {type: 'device_id', value: device_id}, "
        "{type: 'loyalty_id', value: loyalty_id}, {type: 'email', value: lower(trim(email))}], recursive := true) from web) "
        "join truth_event_owners using (message_id) where value is not null and person_id is not null "
        "and value not in ('null', 'undefined', 'test@test.com', '0000', '00000000-0000-0000-0000-000000000000')"
    )
    unbooked = shop.one(
        f"select count(*) from ({shown}) as shown anti join truth_identifiers as truth on shown.person_id = truth.person_id "
        "and type = identifier_type and value = identifier_value"
    )
    assert unbooked == (0,)


def test_every_phone_that_is_written_is_somebodys_or_a_stores_or_junk(shop):
    plain = "regexp_replace(phone, '[^0-9+]', '', 'g')"
    (strange,) = shop.one(
        f"select count(*) from (select case when p like '00%' then '+' || p[3:] when p like '0%' then '+49' || p[2:] else p end "
        f"as phone from (select {plain} as p from (select phone from web union all select phone from pos "
        "union all select phone from whatsapp) where phone is not null and phone <> '0000000000')) as written "
        "anti join truth_identifiers on identifier_type = 'phone' and identifier_value = written.phone "
        "where written.phone not like '%3140___'"
    )
    assert strange == 0
