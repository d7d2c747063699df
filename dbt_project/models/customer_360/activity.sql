-- One row per customer: what it did, where and when, as of the run clock.
-- A place is known as far as its events tell: one that names only the country (a message) neither forgets the city in it nor counts as a move.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with events as (
    select
        *,
        {{ as_of() }} as run_as_of
    from (
        {{ touched_events([
            'type', 'event', 'occurred_at', 'channel', 'device_type', 'country', 'region', 'city', 'campaign_source', 'campaign_name'
        ]) }}
    ) as touched_events
),

-- most customers are in one place all the time: only the others' events have to be put in order
movers as (
    select customer_id
    from events
    where country is not null
    group by customer_id
    having
        min(country) <> max(country)
        or min(city) <> max(city)
        or min(coalesce(region, '')) <> max(coalesce(region, ''))
),

residents as (
    select
        customer_id,
        max(country) as country,
        max(region) as region,
        max(city) as city
    from events
    where country is not null and customer_id not in (select movers.customer_id from movers)
    group by customer_id
),

located as (
    select
        customer_id,
        country,
        region,
        city,
        occurred_at,
        landed_seq,
        lag(country) over (partition by customer_id order by occurred_at, landed_seq) as country_before,
        case
            when city is not null
                then lag(coalesce(region, '') || '/' || city) over (partition by customer_id, country, city is null order by occurred_at, landed_seq)
        end as city_before
    from events
    where country is not null and customer_id in (select movers.customer_id from movers)
),

last_countries as (
    select
        customer_id,
        {{ value_at_last('country', 'occurred_at, landed_seq', 'country is not null') }} as country,
        cast(sum(case
            when country <> country_before then 1
            when coalesce(region, '') || '/' || city <> city_before then 1
            else 0
        end) as bigint) as place_change_count
    from located
    group by customer_id
),

last_places as (
    select
        located.customer_id,
        located.country,
        {{ value_at_last('located.region', 'located.occurred_at, located.landed_seq', 'located.region is not null') }} as region,
        {{ value_at_last('located.city', 'located.occurred_at, located.landed_seq', 'located.city is not null') }} as city
    from located
    inner join last_countries on located.customer_id = last_countries.customer_id and located.country = last_countries.country
    group by located.customer_id, located.country
),

acts as (
    select
        customer_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        max(case when {{ is_own_act('event') }} then occurred_at end) as last_active_at,
        count(*) as event_count,
        count(distinct channel) as channel_count,
        string_agg(distinct channel, ',' order by channel) as channels,
        string_agg(distinct device_type, ',' order by device_type) as device_types,
        count(case when type in ('page', 'screen') then 1 end) as page_view_count,
        count(case when event = 'Product Viewed' then 1 end) as product_view_count,
        {{ count_within('occurred_at', 'run_as_of', 7, "event = 'Product Viewed'") }} as product_view_count_7d,
        {{ count_within('occurred_at', 'run_as_of', 30, "event = 'Product Viewed'") }} as product_view_count_30d,
        {{ count_within('occurred_at', 'run_as_of', 90, "event = 'Product Viewed'") }} as product_view_count_90d,
        {{ count_within('occurred_at', 'run_as_of', 365, "event = 'Product Viewed'") }} as product_view_count_365d,
        {{ count_within('occurred_at', 'run_as_of', 7, "event = 'Product Added'") }} as cart_add_count_7d,
        {{ count_within('occurred_at', 'run_as_of', 30, "event = 'Product Added'") }} as cart_add_count_30d,
        {{ count_within('occurred_at', 'run_as_of', 90, "event = 'Product Added'") }} as cart_add_count_90d,
        {{ count_within('occurred_at', 'run_as_of', 365, "event = 'Product Added'") }} as cart_add_count_365d,
        {{ count_within('occurred_at', 'run_as_of', 90) }} as event_count_90d,
        count(case when event = 'Product Added' then 1 end) as cart_add_count,
        count(case when event in ('Product Reviewed', 'Product Shared', 'Cart Shared', 'Invite Sent') then 1 end) as advocacy_count,
        {{ value_at_first('campaign_source', 'occurred_at, landed_seq', 'campaign_source is not null') }} as first_touch_source,
        {{ value_at_first('campaign_name', 'occurred_at, landed_seq', 'campaign_source is not null') }} as first_touch_campaign,
        {{ value_at_last('campaign_source', 'occurred_at, landed_seq', 'campaign_source is not null') }} as last_touch_source,
        {{ value_at_last('campaign_name', 'occurred_at, landed_seq', 'campaign_source is not null') }} as last_touch_campaign
    from events
    group by customer_id
),

activity as (
    select
        acts.customer_id,
        acts.first_seen_at,
        acts.last_seen_at,
        acts.last_active_at,
        acts.event_count,
        acts.channel_count,
        acts.channels,
        acts.device_types,
        acts.page_view_count,
        acts.product_view_count,
        acts.product_view_count_7d,
        acts.product_view_count_30d,
        acts.product_view_count_90d,
        acts.product_view_count_365d,
        acts.cart_add_count_7d,
        acts.cart_add_count_30d,
        acts.cart_add_count_90d,
        acts.cart_add_count_365d,
        acts.event_count_90d,
        acts.cart_add_count,
        acts.advocacy_count,
        acts.first_touch_source,
        acts.first_touch_campaign,
        acts.last_touch_source,
        acts.last_touch_campaign,
        coalesce(last_countries.country, residents.country) as country,
        coalesce(last_places.region, residents.region) as region,
        coalesce(last_places.city, residents.city) as city,
        coalesce(last_countries.place_change_count, 0) as place_change_count
    from acts
    left join last_countries on acts.customer_id = last_countries.customer_id
    left join last_places on acts.customer_id = last_places.customer_id
    left join residents on acts.customer_id = residents.customer_id
)

select * from activity
