{# identity/normalise.py in SQL, step by step under the same numbers: the rows of `relation` with given_value brought to identifier_value
   (null where it is not an identifier). The shared vectors of identity/normalise_vectors.json hold both together, by test. #}
{% macro normalised_identifiers(relation) %}
{%- set spaces = "\t\n\u000b\u000c\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000" -%}
{%- set invisible = "\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u007f\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff" -%}
{%- set upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ\u00c0\u00c1\u00c2\u00c3\u00c4\u00c5\u00c6\u00c7\u00c8\u00c9\u00ca\u00cb\u00cc\u00cd\u00ce\u00cf\u00d0\u00d1\u00d2\u00d3\u00d4\u00d5\u00d6\u00d8\u00d9\u00da\u00db\u00dc\u00dd\u00de" -%}
{%- set lower = "abcdefghijklmnopqrstuvwxyz\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5\u00e6\u00e7\u00e8\u00e9\u00ea\u00eb\u00ec\u00ed\u00ee\u00ef\u00f0\u00f1\u00f2\u00f3\u00f4\u00f5\u00f6\u00f8\u00f9\u00fa\u00fb\u00fc\u00fd\u00fe" -%}
{%- set wide_digits = "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff0b\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669" -%}
{%- set separators = " -./()[]\u2010\u2011\u2012\u2013\u2014\u2212" -%}
{%- set email = '[^@ <>,;:\\"()]+@[^@ <>,;:\\"()]*[^@ <>,;:\\"().][.][^@ <>,;:\\"().]+' -%}
{%- set uuid = '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}' -%}
{%- set country -%}(select current_run.phone_country_code from {{ source('control', 'current_run') }} as current_run){%- endset -%}
select
    with_country.*,
    case
        when identifier_type = 'email'
            then case when {{ regex_matches('shaped', '^(' ~ email ~ ')$') }} then shaped end
        when identifier_type = 'phone'
            -- 10, 11
            then case
                when {{ regex_matches("case when starts_with(digits, country || '0') then country || substr(digits, length(country) + 2) else digits end", '^[1-9][0-9]{7,14}$') }}
                    then '+' || case when starts_with(digits, country || '0') then country || substr(digits, length(country) + 2) else digits end
            end
        else shaped
    end as identifier_value
from (
    select
        *,
        -- 9
        case
            when identifier_type <> 'phone' or not {{ regex_matches('shaped', '^[+]?[0-9]+$') }} then null
            when starts_with(shaped, '+') then substr(shaped, 2)
            when starts_with(shaped, '00') then substr(shaped, 3)
            when starts_with(shaped, '0') then country || substr(shaped, 2)
            when starts_with(shaped, country) and length(shaped) >= 11 then shaped
            else country || shaped
        end as digits
    from (
        select
            *,
            case
                when identifier_type = 'email'
                    then {{ regex_remove("translate(replace(cleaned, ' ', ''), '" ~ upper ~ "', '" ~ lower ~ "')", '^mailto:') }}
                when identifier_type = 'phone'
                    then translate(
                        case when {{ regex_matches('dialled', '^[(]?([+]|00)') }} then replace(dialled, '(0)', '') else dialled end,
                        '{{ separators }}', ''
                    )
                when
                    identifier_type = 'upi_id'
                    or {{ regex_matches('named', '^(' ~ uuid ~ ')$') }}
                    or {{ regex_matches('named', '^(' ~ email ~ ')$') }}
                    then translate(named, '{{ upper }}', '{{ lower }}')
                else named
            end as shaped
        from (
            select
                *,
                case when identifier_type in ('loyalty_id', 'upi_id') then replace(cleaned, ' ', '') else cleaned end as named,
                case when {{ regex_matches('called', '^[+]?[0-9]{8,}[.]0$') }} then substr(called, 1, length(called) - 2) else called end as dialled
            from (
                select
                    *,
                    case
                        when identifier_type = 'phone'
                            then {{ regex_remove("translate(translate(cleaned, '" ~ wide_digits ~ "', '0123456789+0123456789'), '" ~ upper ~ "', '" ~ lower ~ "')", '^(whatsapp|tel|sms|callto):') }}
                    end as called
                from (
                    select
                        *,
                        {{ country }} as country,
                        -- 1, 2, 3
                        case
                            when length(trim(translate(given_value, '{{ spaces }}{{ invisible }}', '{{ " " * spaces | length }}'))) between 1 and 256
                                then trim(translate(given_value, '{{ spaces }}{{ invisible }}', '{{ " " * spaces | length }}'))
                        end as cleaned
                    from {{ relation }} {{ computed_once() }}
                ) as cleaning {{ computed_once() }}
            ) as calling {{ computed_once() }}
        ) as naming {{ computed_once() }}
    ) as shaping {{ computed_once() }}
) as with_country
{% endmacro %}
