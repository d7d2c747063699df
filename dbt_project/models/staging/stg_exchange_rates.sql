-- One row per currency and period in which one rate holds; the first rate also holds for all days before it.
with rates as (
    select * from {{ source('raw', 'exchange_rates') }}
),

periods as (
    select
        currency,
        rate,
        case
            when row_number() over (partition by currency order by rate_date) = 1 then date '1900-01-01'
            else rate_date
        end as from_date,
        coalesce(lead(rate_date) over (partition by currency order by rate_date), date '9999-12-31') as until_date
    from rates
)

select * from periods
