{# Five answers to "which touch earned the order?", each a share that is summed up from the first touch to this one: what a touch gets is its sum less
   that of the touch before, so shares add up to exactly one and amounts to exactly the order, whatever is rounded. Expects touch_number and
   touch_count of the path, recency_weight, and their sums recency_weight_so_far and recency_weight_of_path. #}
{% macro attribution_models() -%}{{ return(['first_touch', 'last_touch', 'linear', 'time_decay', 'position_based']) }}{%- endmacro %}

{% macro attributed_so_far(model) -%}
    {%- set ends = var('attribution_end_share') -%}
    {%- if model == 'first_touch' -%} 1.0
    {%- elif model == 'last_touch' -%} case when touch_number = touch_count then 1.0 else 0.0 end
    {%- elif model == 'linear' -%} 1.0 * touch_number / touch_count
    {%- elif model == 'time_decay' -%} case when touch_number = touch_count then 1.0 else recency_weight_so_far / recency_weight_of_path end
    {%- else -%}
        case
            when touch_number = touch_count then 1.0
            when touch_count = 2 then 0.5
            else {{ ends }} + (1 - 2 * {{ ends }}) * (touch_number - 1) / (touch_count - 2)
        end
    {%- endif -%}
{%- endmacro %}
