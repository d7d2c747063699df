"""The statements of a settlement of membership (orchestration.memberships): one SQL for DuckDB and PostgreSQL."""

TEMPORARY = {
    "settling_names": {"audience": "varchar"},
    "settling_members": {"audience": "varchar", "customer_id": "varchar", "entered_because": "varchar"},
    "settling_origins": {"customer_id": "varchar", "origin_id": "varchar"},
    "settling_touched": {"customer_id": "varchar"},
    "settling_open": {
        "audience": "varchar",
        "customer_id": "varchar",
        "entered_at": "timestamp",
        "entered_because": "varchar",
        "entered_seq": "bigint",
        "living_customer_id": "varchar",
    },
    "settling_entered": {
        "audience": "varchar",
        "customer_id": "varchar",
        "entered_at": "timestamp",
        "entered_because": "varchar",
        "entered_kind": "varchar",
        "entered_seq": "bigint",
    },
    "settling_left": {
        "audience": "varchar",
        "customer_id": "varchar",
        "left_because": "varchar",
        "left_kind": "varchar",
        "left_seq": "bigint",
        "entered_seq": "bigint",
    },
    "settling_since": {"entered_seq": "bigint", "entered_at": "timestamp"},
}

MEMBERS = """
    insert into settling_members
    select {audience}, coalesce(redirects.living_customer_id, members.customer_id),
        coalesce(
            min(case when redirects.living_customer_id = members.customer_id then members.entered_because end),
            min(members.entered_because)
        )
    from {members}
    left join identity.customer_redirects as redirects on members.customer_id = redirects.customer_id
    group by 1, 2
"""
"""The members under their living ids: a build of some models may hold ids that were merged since."""

ORIGINS = """
    insert into settling_origins
    select now.living_customer_id, settled.living_customer_id
    from control.settled_redirects as settled
    inner join identity.customer_redirects as now on settled.customer_id = now.customer_id
    where settled.living_customer_id <> now.living_customer_id
    union
    select history.customer_id_after, history.customer_id_before
    from identity.merge_history as history
    inner join (
        select customer_id from identity.customer_ids group by customer_id having min(ledger_seq) > {ledger_seq}
    ) as ids on history.customer_id_after = ids.customer_id
    where history.change = 'split' and {ledger_seq} > 0
"""
"""Customers who were part of another at the last settlement: an id that was given back, or a new one for what was split off."""

OPEN = """
    insert into settling_open
    select memberships.audience, memberships.customer_id, memberships.entered_at, memberships.entered_because, memberships.entered_seq,
        redirects.living_customer_id
    from audiences.memberships as memberships
    left join identity.customer_redirects as redirects on memberships.customer_id = redirects.customer_id
    where memberships.left_seq is null {but}
"""

TOUCHED = """
    insert into settling_touched
    select now.living_customer_id
    from identity.customer_redirects as now
    left join control.settled_redirects as settled on now.customer_id = settled.customer_id
    where now.living_customer_id <> coalesce(settled.living_customer_id, now.customer_id)
    union
    select settled.living_customer_id
    from control.settled_redirects as settled
    left join identity.customer_redirects as now on settled.customer_id = now.customer_id
    where now.living_customer_id is null or now.living_customer_id <> settled.living_customer_id
    union
    select living_customer_id from settling_open where living_customer_id <> customer_id
"""
"""Living customers who gained or lost a merged id since."""

ENTERED = """
    insert into settling_entered
    select members.audience, members.customer_id,
        case
            when absorbed.customer_id is not null then cast('{as_of}' as timestamp)
            else coalesce(own.entered_at, origin.entered_at, cast('{as_of}' as timestamp))
        end,
        case when absorbed.customer_id is not null then absorbed.entered_because else members.entered_because end,
        case when absorbed.customer_id is not null then 'merged' when origin.customer_id is not null then 'split' else 'rule' end,
        {change_seq} + row_number() over (order by members.audience, members.customer_id)
    from settling_members as members
    left join settling_open as standing
        on members.audience = standing.audience and members.customer_id = standing.customer_id
    left join (
        select audience, living_customer_id as customer_id, entered_because,
            row_number() over (partition by audience, living_customer_id order by entered_at, customer_id) as place
        from settling_open
        where living_customer_id <> customer_id
    ) as absorbed
        on members.audience = absorbed.audience and members.customer_id = absorbed.customer_id and absorbed.place = 1
    left join (
        select settling_open.audience, origins.customer_id, settling_open.entered_at, settling_open.entered_seq,
            row_number() over (
                partition by settling_open.audience, origins.customer_id order by settling_open.entered_at, origins.origin_id
            ) as place
        from settling_origins as origins
        inner join settling_open on origins.origin_id = settling_open.customer_id
    ) as origin
        on members.audience = origin.audience and members.customer_id = origin.customer_id and origin.place = 1
    left join (
        select memberships.audience, memberships.customer_id, memberships.entered_at, memberships.left_seq,
            row_number() over (partition by memberships.audience, memberships.customer_id order by memberships.left_seq desc) as place
        from audiences.memberships as memberships
        inner join (select distinct customer_id from settling_origins) as origins on memberships.customer_id = origins.customer_id
        where memberships.left_kind = 'merged'
    ) as own
        on origin.audience = own.audience and origin.customer_id = own.customer_id and own.place = 1 and own.left_seq > origin.entered_seq
    where standing.customer_id is null
"""
"""Who is in by the build and has no open row. Whoever was in under an id that merged into theirs stays in; whoever was in as a part of
somebody else too: since they entered themselves, where their own row ended by that merger, else since that other one did."""

LEFT = """
    insert into settling_left
    select standing.audience, standing.customer_id,
        case
            when names.audience is null then 'the audience was withdrawn'
            when standing.living_customer_id <> standing.customer_id then 'merged into ' || standing.living_customer_id
                || case when standing.place = 1 and heir.customer_id is null then ', who {no_longer}' else '' end
            when standing.living_customer_id is null and standing.is_known then 'the customer is gone: nobody holds the identifiers'
            when parts.customer_id is not null then 'split off: ' || parts.customer_id || ' stays in'
            else '{no_longer}'
        end,
        case
            when names.audience is null then 'withdrawn'
            when standing.living_customer_id <> standing.customer_id
                then case when standing.place = 1 and heir.customer_id is null then 'rule' else 'merged' end
            when standing.living_customer_id is null and standing.is_known then 'gone'
            when parts.customer_id is not null then 'split'
            else 'rule'
        end,
        {change_seq} + row_number() over (order by standing.audience, standing.customer_id),
        standing.entered_seq
    from (
        select settling_open.*, ids.customer_id is not null as is_known,
            row_number() over (
                partition by settling_open.audience, coalesce(settling_open.living_customer_id, settling_open.customer_id)
                order by
                    case when settling_open.customer_id = settling_open.living_customer_id then 0 else 1 end,
                    settling_open.entered_at, settling_open.customer_id
            ) as place
        from settling_open
        left join settling_members as members
            on settling_open.audience = members.audience and settling_open.customer_id = members.customer_id
        left join (
            select distinct ids.customer_id
            from identity.customer_ids as ids
            inner join settling_open as lost on ids.customer_id = lost.customer_id
            where lost.living_customer_id is null
        ) as ids on settling_open.customer_id = ids.customer_id
        where members.customer_id is null
    ) as standing
    left join settling_names as names on standing.audience = names.audience
    left join settling_members as heir
        on standing.audience = heir.audience and standing.living_customer_id = heir.customer_id
    left join (
        select settling_entered.audience, origins.origin_id, min(origins.customer_id) as customer_id
        from settling_origins as origins
        inner join settling_entered on origins.customer_id = settling_entered.customer_id
        where settling_entered.entered_kind = 'split'
        group by 1, 2
    ) as parts
        on standing.audience = parts.audience and standing.customer_id = parts.origin_id
"""
"""Who has an open row and is not in by the build. Of several ids that merged into somebody who does not match, one leaves and the others
are merged, so that one person leaves once."""

SINCE = """
    insert into settling_since
    select memberships.entered_seq, least(memberships.own_entered_at, min(absorbed.entered_at))
    from audiences.memberships as memberships
    inner join settling_touched as touched on memberships.customer_id = touched.customer_id
    left join (
        select closed.audience, closed.entered_at, closed.left_seq, redirects.living_customer_id
        from audiences.memberships as closed
        inner join identity.customer_redirects as redirects on closed.customer_id = redirects.customer_id
        where closed.left_kind = 'merged' and redirects.living_customer_id <> closed.customer_id
    ) as absorbed
        on memberships.audience = absorbed.audience and memberships.customer_id = absorbed.living_customer_id
        and memberships.entered_seq < absorbed.left_seq
    where memberships.left_seq is null
    group by memberships.entered_seq, memberships.own_entered_at, memberships.entered_at
    having memberships.entered_at <> least(memberships.own_entered_at, min(absorbed.entered_at))
"""
"""Since when those are in who gained or lost a merged id: the earliest of their own entering and of the ids' that are part of them now."""

CHANGES = """
    select changes.*, coalesce(redirects.living_customer_id, changes.customer_id) as living_customer_id
    from (
        select entered_seq as change_seq, audience, customer_id, 'entered' as change, entered_at as changed_at,
            entered_kind as change_kind, entered_because as because
        from audiences.memberships
        where entered_seq > {after}
        union all
        select left_seq as change_seq, audience, customer_id, 'left' as change, left_at as changed_at,
            left_kind as change_kind, left_because as because
        from audiences.memberships
        where left_seq > {after}
    ) as changes
    left join identity.customer_redirects as redirects on changes.customer_id = redirects.customer_id
    order by changes.change_seq
    limit {limit}
"""
