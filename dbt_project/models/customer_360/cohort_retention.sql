-- One row per month of first order and month since: how many of these customers ordered in it, and what they brought.
with orders as (
    select
        customer_id,
        cast(date_trunc('month', ordered_at) as date) as month,
        net_amount
    from {{ ref('orders') }}
    where customer_id is not null
),

first_months as (
    select
        customer_id,
        min(month) as cohort_month
    from orders
    group by customer_id
),

cohorts as (
    select
        cohort_month,
        count(*) as customer_count
    from first_months
    group by cohort_month
),

-- every month in which the shop saw an event: a month without a customer back is a row of zero, not a gap
months as (
    select distinct cast(date_trunc('month', metric_date) as date) as month from {{ ref('daily_metrics') }}
),

ordered as (
    select
        first_months.cohort_month,
        orders.month,
        count(distinct orders.customer_id) as ordering_customer_count,
        count(*) as order_count,
        sum(orders.net_amount) as order_amount
    from orders
    inner join first_months on orders.customer_id = first_months.customer_id
    group by first_months.cohort_month, orders.month
),

refunded as (
    select
        first_months.cohort_month,
        cast(date_trunc('month', refunds.refunded_at) as date) as month,
        sum(refunds.net_amount) as refund_amount
    from {{ ref('refunds') }} as refunds
    inner join first_months on refunds.customer_id = first_months.customer_id
    group by first_months.cohort_month, cast(date_trunc('month', refunds.refunded_at) as date)
),

cohort_retention as (
    select
        cohorts.cohort_month,
        cast(
            (extract(year from months.month) - extract(year from cohorts.cohort_month)) * 12
            + extract(month from months.month) - extract(month from cohorts.cohort_month) as integer
        ) as months_since_first_order,
        months.month,
        cohorts.customer_count,
        coalesce(ordered.ordering_customer_count, 0) as ordering_customer_count,
        coalesce(ordered.order_count, 0) as order_count,
        cast(coalesce(ordered.order_amount, 0) - coalesce(refunded.refund_amount, 0) as decimal(18, 4)) as net_revenue,
        cast(1.0 * coalesce(ordered.ordering_customer_count, 0) / cohorts.customer_count as decimal(9, 6)) as retention_rate,
        cast(months.month as timestamp) + interval '1 month' <= {{ as_of() }} as is_whole_month
    from cohorts
    inner join months on cohorts.cohort_month <= months.month
    left join ordered on cohorts.cohort_month = ordered.cohort_month and months.month = ordered.month
    left join refunded on cohorts.cohort_month = refunded.cohort_month and months.month = refunded.month
)

select * from cohort_retention
