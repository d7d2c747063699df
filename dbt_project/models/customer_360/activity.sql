-- One row per customer: what it did, where and when, as of the run clock.
with events as (
    select
        *,
        {{ as_of() }} as run_as_of,
        country || '/' || coalesce(region, '') || '/' || coalesce(city, '') as place
    from {{ ref('events') }}
    where customer_id is not null
),

ordered as (
    select
        *,
        case
            when place is not null
                then row_number() over (partition by customer_id, place is null order by occurred_at desc, landed_seq desc)
        end as place_rank,
        case
            when place is not null and place <> lag(place) over (partition by customer_id, place is null order by occurred_at, landed_seq) then 1
            else 0
        end as changes_place,
        case
            when campaign_source is not null
                then row_number() over (partition by customer_id, campaign_source is null order by occurred_at, landed_seq)
        end as touch_rank,
        case
            when campaign_source is not null
                then row_number() over (partition by customer_id, campaign_source is null order by occurred_at desc, landed_seq desc)
        end as touch_rank_from_last
    from events
),

activity as (
    select
        customer_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        count(*) as event_count,
        count(distinct channel) as channel_count,
        string_agg(distinct channel, ',' order by channel) as channels,
        string_agg(distinct device_type, ',' order by device_type) as device_types,
        count(case when type in ('page', 'screen') then 1 end) as page_view_count,
        count(case when event = 'Product Viewed' then 1 end) as product_view_count,
        {{ count_within('occurred_at', 'run_as_of', 7, "event = 'Product Viewed'") }} as product_view_count_7d,
        {{ count_within('occurred_at', 'run_as_of', 30, "event = 'Product Viewed'") }} as product_view_count_30d,
        {{ count_within('occurred_at', 'run_as_of', 30, "event = 'Product Added'") }} as cart_add_count_30d,
        {{ count_within('occurred_at', 'run_as_of', 90) }} as event_count_90d,
        count(case when event = 'Product Added' then 1 end) as cart_add_count,
        count(case when event in ('Product Reviewed', 'Product Shared', 'Invite Sent') then 1 end) as advocacy_count,
        max(case when touch_rank = 1 then campaign_source end) as first_touch_source,
        max(case when touch_rank = 1 then campaign_name end) as first_touch_campaign,
        max(case when touch_rank_from_last = 1 then campaign_source end) as last_touch_source,
        max(case when touch_rank_from_last = 1 then campaign_name end) as last_touch_campaign,
        max(case when place_rank = 1 then country end) as country,
        max(case when place_rank = 1 then region end) as region,
        max(case when place_rank = 1 then city end) as city,
        cast(sum(changes_place) as bigint) as place_change_count
    from ordered
    group by customer_id
)

select * from activity
