-- One row per (customer, as_of_date, channel) that the customer who holds the row's anchor today used within the horizon of channels, of dates whose horizon
-- has passed: on how many days. The rows of customers are those of customer_labels: a person is one row.
with label_rows as (
    select
        customer_labels.customer_id,
        customer_labels.as_of_date,
        customer_labels.horizon_days,
        customer_redirects.living_customer_id,
        feature_dates.as_of,
        feature_dates.as_of + interval '1 day' * customer_labels.horizon_days as until
    from {{ ref('customer_labels') }} as customer_labels
    inner join {{ source('control', 'feature_dates') }} as feature_dates on customer_labels.as_of_date = feature_dates.as_of_date
    inner join {{ ref('customer_redirects') }} as customer_redirects on customer_labels.customer_id = customer_redirects.customer_id
    where customer_labels.horizon_days = {{ var('channel_horizon_days') }}
),

days as (
    select
        events.customer_id,
        {{ used_channel('events.event', 'events.channel') }} as channel,
        cast(events.occurred_at as date) as used_on,
        min(events.occurred_at) as first_at
    from {{ ref('events') }} as events
    where events.customer_id is not null and {{ is_own_act('events.event') }} and {{ is_use_of_channel('events.event') }}
    group by events.customer_id, {{ used_channel('events.event', 'events.channel') }}, cast(events.occurred_at as date)
),

labels as (
    select
        label_rows.customer_id,
        label_rows.as_of_date,
        label_rows.horizon_days,
        days.channel,
        count(*) as used_day_count
    from label_rows
    inner join days
        on
            label_rows.living_customer_id = days.customer_id
            and label_rows.as_of <= days.first_at
            and days.first_at < label_rows.until
    group by label_rows.customer_id, label_rows.as_of_date, label_rows.horizon_days, days.channel
)

select * from labels
