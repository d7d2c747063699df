{# SPEC 4: the first stage that matches. Expects the columns of customer_360.customers' CTE `joined`. #}
{% macro journey_stage() -%}
    {%- set is_retained -%}
        (order_count >= 2 or first_order_at < {{ minus_days(as_of(), var('new_customer_days')) }})
    {%- endset -%}
    case
        when last_active_at is null or last_active_at < {{ minus_days(as_of(), var('lapsed_after_days')) }} then 'lapsed'
        when {{ is_retained }} and is_advocate then 'advocacy'
        when {{ is_retained }} then 'retention'
        when order_count >= 1 then 'purchase'
        when is_identified or cart_add_count > 0 then 'consideration'
        else 'awareness'
    end
{%- endmacro %}

{# 0 to 100: strong identifiers 15 each up to 30, channels 5 each up to 15, active within 30 days 20 (within 90 days 10), completeness (email, phone,
   country, an order) 5 each, any consent 15. #}
{% macro profile_strength() -%}
    cast(
        least(strong_identifier_count * 15, 30)
        + least(channel_count * 5, 15)
        + case
            when last_active_at >= {{ minus_days(as_of(), 30) }} then 20
            when last_active_at >= {{ minus_days(as_of(), 90) }} then 10
            else 0
        end
        + case when email is not null then 5 else 0 end
        + case when phone is not null then 5 else 0 end
        + case when country is not null then 5 else 0 end
        + case when order_count > 0 then 5 else 0 end
        + case when has_consent_analytics or has_consent_personalisation or has_consent_advertising or has_consent_sharing then 15 else 0 end
        as integer
    )
{%- endmacro %}

{# What the customer does, as against what the shop does to it: a message sent or a refund paid makes nobody active and opens no visit. #}
{% macro is_own_act(event) -%}
    coalesce({{ event }}, '') not in (
        'Message Sent', 'Message Delivered', 'Message Failed', 'Email Sent', 'Email Delivered', 'Email Bounced', 'Push Notification Sent',
        'Order Updated', 'Order Refunded'
    )
{%- endmacro %}

{# 1 to 5, 5 the highest. Equal values are in the same quintile, the lowest that one of them is in: who ordered once is not above who ordered once. #}
{% macro quintile(column) -%}
    cast(floor(5.0 * (rank() over (order by {{ column }}) - 1) / count(*) over ()) as integer) + 1
{%- endmacro %}

{# What is left at the later instant of an interest of 1 at the earlier; within what a double can hold, however wrong a clock was. #}
{% macro halved(earlier, later, half_life_days=none) -%}
    power(0.5, least(greatest({{ days_between(earlier, later) }} / {{ half_life_days or var('affinity_half_life_days') }}, -900), 900))
{%- endmacro %}

{# Where a customer did something. What is done to a message tells its channel in its name, whichever way the event came (Segment's names). #}
{% macro used_channel(event, channel) -%}
    case
        when {{ event }} like 'Email %' then 'email'
        when {{ event }} like 'SMS %' then 'sms'
        when {{ event }} like 'Push Notification %' then 'push'
        else {{ channel }}
    end
{%- endmacro %}

{# Who leaves a channel does not use it. #}
{% macro is_use_of_channel(event) -%}
    coalesce({{ event }}, '') not in ('Email Marked as Spam', 'Unsubscribed')
{%- endmacro %}
