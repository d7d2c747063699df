"""Made-up evidence for the identity benchmark: sets of 2 to 5 identifiers, 15 % of them of people whom rules bite."""

from typing import Final

PEOPLE_PER_SET: Final = 0.2
SHARE_BITTEN: Final = 15
"""Percent of people who are seen at a kiosk (a device of some forty people: hot) or under a blocked e-mail."""

SETS: Final = """
    create temp table sets as
    with visits as (
        select
            i, person, hash(person, 1) as p, hash(i, 2) as h, hash(person, 3) % 100 < {bitten} as is_bitten
        from (select i, hash(i) % greatest(cast({size} * {people} as bigint), 1) as person from range({size} * 2) as t (i))
    ),

    carried as (
        select
            i,
            case
                when is_bitten and h % 4 = 0 then 'device_id:kiosk-' || (person // 300)
                when p % 12 = 0 then 'device_id:family-' || (person // 2)
                else 'device_id:' || md5('device' || person || '-' || (h % 2))
            end as device,
            'anonymous_id:' || md5('cookie' || person || '-' || (h // 7 % 6)) as cookie,
            if(
                is_bitten and h % 4 = 1, 'email:noreply@shop.example',
                'email:' || substr(md5('mail' || person || if(p % 5 = 0, h % 2, 0)), 1, 12) || '@mail.example'
            ) as email,
            'user_id:u' || person as login,
            'phone:+1' || (2000000000 + person) as phone,
            2 + h // 50 % 4 as wanted,
            h // 200 % 5 as turn
        from visits
    ),

    chosen as (
        select i, list_sort(([cookie, login, device, email, phone, cookie, login, device, email])[turn + 1:turn + wanted]) as identifiers
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
        evidence_id, first_at, 'web' as first_source, evidence_id as first_message_id, first_at as first_known_at,
        first_at as last_occurred_at, 1 as event_count, 1 as changed_seq
    from sets;

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

HELD_BACK: Final = """
    create temp table late as
    select * from identity.evidence where evidence_id in (
        select evidence_id from identity.evidence order by first_at desc, evidence_id limit {size} // 100
    );
    delete from identity.evidence where evidence_id in (select evidence_id from late);
"""
ARRIVED: Final = """
    insert into identity.evidence select * replace (2 as changed_seq) from late;
    update control.current_run set run_seq = 2, since_run_seq = 1;
"""
"""The newest 1 % of the sets: kept from the engine, then, after it has decided, let in as a later run's dbt would."""
