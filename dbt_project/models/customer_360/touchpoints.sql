-- One row per touch (a visit that a campaign brought, an act elsewhere that names one), and per order that no touch led to: the order it is credited for.
-- A path begins after the order before: a touch is credited for one order, the next, and only within attribution_days.
with touches as (
    select
        session_id as touch_id,
        customer_id,
        started_at as touched_at,
        'web' as channel,
        campaign_source,
        campaign_medium,
        campaign_name
    from {{ ref('sessions') }}
    where campaign_source is not null
    union all
    select
        source || ':' || message_id as touch_id,
        customer_id,
        occurred_at as touched_at,
        channel,
        campaign_source,
        campaign_medium,
        campaign_name
    from {{ ref('events') }}
    where campaign_source is not null and channel <> 'web' and customer_id is not null and {{ is_own_act('event') }}
),

refunded as (
    select
        order_key,
        sum(net_amount) as net_amount
    from {{ ref('refunds') }}
    group by order_key
),

orders as (
    select
        orders.order_key,
        orders.customer_id,
        orders.channel,
        orders.ordered_at,
        cast(orders.net_amount - coalesce(refunded.net_amount, 0) as decimal(18, 4)) as net_revenue
    from {{ ref('orders') }} as orders
    left join refunded on orders.order_key = refunded.order_key
),

moments as (
    select
        customer_id,
        touched_at as happened_at,
        touch_id,
        null as order_key
    from touches
    union all
    select
        customer_id,
        ordered_at as happened_at,
        null as touch_id,
        order_key
    from orders
    where customer_id is not null
),

-- a touch and an order of one instant: the touch was first
paths as (
    select
        *,
        count(order_key) over (
            partition by customer_id order by happened_at, case when order_key is null then 0 else 1 end, order_key, touch_id rows unbounded preceding
        ) - case when order_key is null then 0 else 1 end as path_number
    from moments
),

ends as (
    select
        customer_id,
        path_number,
        order_key,
        happened_at as ordered_at
    from paths
    where order_key is not null
),

credited as (
    select
        paths.touch_id,
        ends.order_key,
        {{ halved('paths.happened_at', 'ends.ordered_at', var('attribution_half_life_days')) }} as recency_weight,
        row_number() over (partition by ends.order_key order by paths.happened_at, paths.touch_id) as touch_number,
        count(*) over (partition by ends.order_key) as touch_count
    from paths
    inner join ends on paths.customer_id = ends.customer_id and paths.path_number = ends.path_number
    where paths.touch_id is not null and paths.happened_at >= {{ minus_days('ends.ordered_at', var('attribution_days')) }}
),

gathered as (
    select
        touches.touch_id,
        touches.customer_id,
        touches.touched_at,
        touches.channel,
        touches.campaign_source,
        touches.campaign_medium,
        touches.campaign_name,
        credited.order_key,
        credited.touch_number,
        credited.touch_count,
        credited.recency_weight
    from touches
    left join credited on touches.touch_id = credited.touch_id
    union all
    select
        'direct:' || orders.order_key as touch_id,
        orders.customer_id,
        orders.ordered_at as touched_at,
        orders.channel,
        'direct' as campaign_source,
        null as campaign_medium,
        null as campaign_name,
        orders.order_key,
        1 as touch_number,
        1 as touch_count,
        1.0 as recency_weight
    from orders
    left join credited on orders.order_key = credited.order_key
    where credited.order_key is null
),

summed as (
    select
        gathered.*,
        coalesce(gathered.order_key, gathered.touch_id) as path_id,
        orders.ordered_at,
        orders.net_revenue,
        sum(gathered.recency_weight) over (
            partition by coalesce(gathered.order_key, gathered.touch_id) order by gathered.touch_number rows unbounded preceding
        ) as recency_weight_so_far,
        sum(gathered.recency_weight) over (partition by coalesce(gathered.order_key, gathered.touch_id)) as recency_weight_of_path
    from gathered
    left join orders on gathered.order_key = orders.order_key
),

so_far as (
    select
        *,
        {%- for model in attribution_models() %}
        case when order_key is not null then cast({{ attributed_so_far(model) }} as decimal(12, 9)) end as {{ model }}_so_far{{ ',' if not loop.last }}
        {%- endfor %}
    from summed
),

earned as (
    select
        *,
        {%- for model in attribution_models() %}
        cast({{ model }}_so_far * cast(net_revenue as decimal(26, 4)) as decimal(18, 4)) as {{ model }}_revenue_so_far{{ ',' if not loop.last }}
        {%- endfor %}
    from so_far
),

touchpoints as (
    select
        touch_id,
        customer_id,
        touched_at,
        channel,
        campaign_source,
        campaign_medium,
        campaign_name,
        order_key,
        ordered_at,
        cast(touch_number as bigint) as touch_number,
        cast(touch_count as bigint) as touch_count,
        {%- for model in attribution_models() %}
        cast({{ model }}_so_far - coalesce(lag({{ model }}_so_far) over (partition by path_id order by touch_number), 0) as decimal(12, 9)) as {{ model }}_share,
        {%- endfor %}
        {%- for model in attribution_models() %}
        cast(
            {{ model }}_revenue_so_far - coalesce(lag({{ model }}_revenue_so_far) over (partition by path_id order by touch_number), 0) as decimal(18, 4)
        ) as {{ model }}_net_revenue{{ ',' if not loop.last }}
        {%- endfor %}
    from earned
)

select * from touchpoints
