"""Made-up evidence for the identity benchmark: sets of 2 to 5 identifiers, 15 % of them in components where rules 3 to 5 bite."""

from typing import Final

PEOPLE_PER_SET: Final = 0.2
SHARE_BITTEN: Final = 21
"""Percent of households (four people) that rules bite on purpose; with those that do by chance, 15 % of the sets are concerned."""

SETS: Final = """
    create temp table sets as
    with visits as (
        select
            i, person, person // 4 as home, hash(person, 1) as p, hash(i, 2) as h,
            if(hash(person // 4, 3) % 100 < {bitten}, hash(person // 4, 4) % 50, null) as bite
        from (select i, hash(i) % greatest(cast({size} * {people} as bigint), 1) as person from range({size} * 2) as t (i))
    ),

    carried as (
        select
            i,
            -- a few are seen at a kiosk (of some forty of them: hot) or under a blocked e-mail: rules 1 and 2
            case
                when p % 33 = 0 and h % 4 = 0 then 'device_id:kiosk-' || (person // 1500)
                when bite < 20 and h % 3 = 0 then 'device_id:family-' || home
                else 'device_id:' || md5('device' || person || '-' || (h % 2))
            end as device,
            if(
                bite < 20 and h % 5 = 0, 'anonymous_id:family-' || home,
                'anonymous_id:' || md5('cookie' || person || '-' || (h // 7 % 6))
            ) as cookie,
            case
                when p % 33 = 1 and h % 4 = 1 then 'email:noreply@shop.example'
                -- more cards and e-mails than a customer may have
                when bite between 20 and 34 and h % 2 = 0 then 'loyalty_id:' || (person * 10 + h // 2 % 6)
                when bite between 20 and 34 then 'email:' || substr(md5('mail' || person || '-' || (h // 2 % 8)), 1, 12) || '@mail.example'
                else 'email:' || substr(md5('mail' || person || if(p % 5 = 0, h % 2, 0)), 1, 12) || '@mail.example'
            end as email,
            'user_id:u' || person as login,
            'phone:+1' || (2000000000 + person) as phone,
            -- a mistaken import: four people in one row
            if(bite between 35 and 48 and h % 12 = 0, list_transform(range(4), lambda k: 'user_id:u' || (home * 4 + k)), null) as mixed,
            2 + h // 50 % 4 as wanted,
            h // 200 % 5 as turn
        from visits
    ),

    chosen as (
        select
            i,
            coalesce(
                mixed, list_sort(([cookie, login, device, email, phone, cookie, login, device, email])[turn + 1:turn + wanted])
            ) as identifiers
        from carried
    )

    select
        md5(array_to_string(identifiers, ',')) as evidence_id,
        any_value(identifiers) as identifiers,
        timestamp '2026-01-01' + interval (min(i) * 15500000 // {size}) second as first_at
    from chosen
    group by evidence_id
    order by first_at
    limit {size}
"""

TABLES: Final = """
    create schema identity;

    create table identity.evidence as
    select
        evidence_id, first_at, 'web' as first_source, evidence_id as first_message_id, first_at as first_known_at, first_at as key_known_at,
        first_at as last_occurred_at, 1 as event_count, 1 as changed_seq
    from sets;

    create table identity.superseded_keys as
    select
        evidence_id, first_at, first_source, first_message_id, first_known_at, first_known_at as superseded_at
    from identity.evidence limit 0;

    create table identity.event_evidence as
    select
        1 as landed_seq, evidence_id, ordered_at, 'web' as source, evidence_id || '-' || event as message_id, ordered_at as known_at
    from (
        select evidence_id, event, first_at + interval (event * (600 + hash(evidence_id, 5) % 90000)) second as ordered_at
        from (select evidence_id, first_at, unnest(range(1 + cast(hash(evidence_id, 6) % 3 as bigint))) as event from sets) as repeated
    ) as events;

    create schema control;
    create table control.current_run (run_seq bigint, since_run_seq bigint);
    insert into control.current_run values (1, null);

    create temp table carried as
    select evidence_id, unnest(identifiers) as identifier, generate_subscripts(identifiers, 1) as place from sets;

    create table identity.evidence_identifiers as select evidence_id, md5(identifier) as identifier_id from carried;

    create table identity.identifiers as
    select
        md5(identifier) as identifier_id, split_part(identifier, ':', 1) as identifier_type,
        substr(identifier, length(split_part(identifier, ':', 1)) + 2) as identifier_value
    from (select distinct identifier from carried);

    create table pairs as
    select md5(one.identifier) as a, md5(other.identifier) as b
    from carried as one
    inner join carried as other on one.evidence_id = other.evidence_id and other.place = one.place + 1;
"""
"""What dbt hands the engine, with the run that asks for it, and the same connections as pairs: k identifiers of a set make k - 1 pairs."""

DECISIONS: Final = """
    with homes as (
        select distinct (person // 4) as home
        from (select cast(substr(identifier_value, 2) as bigint) as person from identity.identifiers where identifier_type = 'user_id')
        where hash(person // 4, 3) % 100 < {bitten} and hash(person // 4, 4) % 50 = 49
    )

    select 2 * home + 1 as decision_seq, 'wall' as action, side, identifier_type, identifier_value
    from homes, (values (0, 'user_id', 'u', 0, 0), (1, 'phone', '+1', 2000000000, 1)) as sides (side, identifier_type, mark, least, nth),
    lateral (select mark || (least + home * 4 + nth) as identifier_value) as named
    union all
    select 2 * home + 2, 'link', 0, 'user_id', 'u' || (home * 4 + nth) from homes, (values (2), (3)) as linked (nth)
"""
"""What people decided in every fiftieth of those households: two are not one person, two are."""

SHARE: Final = """
    with bitten as (
        select distinct component_id from identity.memberships
        where valid_from is not null
        or identifier_id in (select identifier_id from identity.set_aside union select identifier_id from identity.refused_joins)
        or identifier_id in (
            select identifier_id from identity.evidence_identifiers
            where evidence_id in (select evidence_id from identity.review_queue)
        )
        or identifier_id in (select md5(identifier_type || ':' || identifier_value) from control.identity_decisions)
    )

    select round(100.0 * count(distinct evidence_id) / (select count(*) from identity.evidence), 1)
    from identity.evidence_identifiers
    inner join identity.memberships using (identifier_id)
    where component_id in (select component_id from bitten)
"""
"""Percent of the sets in components where a rule did keep something apart, or a decision stands."""

HELD_BACK: Final = """
    create temp table late as
    select * from identity.evidence where evidence_id in (
        select evidence_id from identity.evidence order by first_at desc, evidence_id limit {size} // 100
    );
    create temp table late_events as select * from identity.event_evidence where evidence_id in (select evidence_id from late);
    delete from identity.evidence where evidence_id in (select evidence_id from late);
    delete from identity.event_evidence where evidence_id in (select evidence_id from late);
"""
ARRIVED: Final = """
    insert into identity.evidence select * replace (2 as changed_seq) from late;
    insert into identity.event_evidence select * replace (2 as landed_seq) from late_events;
    update control.current_run set run_seq = 2, since_run_seq = 1;
"""
"""The newest 1 % of the sets: kept from the engine, then, after it has decided, let in as a later run's dbt would."""
