"""Each rate of the difficulty shows in the files."""

from datetime import timedelta

import pytest

from ingestion.simulator import Difficulty, SimulationError


def test_default_rates_show_in_the_people(shop):
    customers, sharing, second = shop.one(
        "select count(*), avg(shares_device::int), avg(has_second_email::int) from truth_people where is_customer"
    )
    assert customers > 120
    assert sharing == pytest.approx(0.08, abs=0.03)
    assert second == pytest.approx(0.20, abs=0.05)
    assert shop.one("select avg(is_bot::int) from truth_people")[0] == pytest.approx(0.03, abs=0.015)


def test_housemates_leave_traces_of_each_other_on_one_device(shop):
    (pairs,) = shop.one(
        "select count(*) from (select identifier_value from truth_identifiers where is_shared and not is_kiosk "
        "and identifier_type = 'device_id' group by all having count(*) = 2)"
    )
    assert pairs >= 3


def test_bots_look_at_much_and_never_buy_or_log_in(shop):
    looked, bought = shop.one(
        "select count(*), count(*) filter (event = 'Order Completed' or event = 'Product Added' or type = 'identify') from web "
        "join (select anonymous_id from web group by 1 having count(*) filter (type = 'page' or event like '%View%') > 25 "
        "and count(user_id) = 0) using (anonymous_id) join truth_event_owners using (message_id) where person_id is null"
    )
    assert looked > 500
    assert bought == 0


def test_kiosks_take_their_share_of_visits_and_everybody_known_logs_in_there(shop):
    kiosk, people = shop.one(
        "select count(*), count(distinct user_id) from web where anonymous_id in "
        "(select anonymous_id from web where event = 'Store Visited') and event = 'Signed In'"
    )
    visits = shop.one("select count(*) from web where event = 'Home'")[0]
    stops = shop.one("select count(*) from web where event = 'Store Visited'")[0]
    assert stops / visits == pytest.approx(0.02, abs=0.006)
    assert kiosk > people * 0.9 > 10


def test_some_rows_come_twice_word_for_word_also_in_another_file(shop):
    rows, ids, bodies = shop.one(
        "select count(*), count(distinct message_id), (select count(*) from (select distinct * exclude (filename, file_row_number) "
        "from web_files)) from web_files"
    )
    assert (rows - ids) / rows == pytest.approx(0.01, abs=0.004)
    assert bodies == ids
    across = shop.one(
        "select count(*) from (select message_id from web_files group by 1 having count(distinct filename) > 1)"
    )
    assert across[0] >= 1


def test_some_rows_are_late_and_some_out_of_order(shop):
    late, hours = shop.one(
        "select avg((sent_at - original_timestamp > interval 20 minutes)::int), max(sent_at - original_timestamp) from web"
    )
    assert late == pytest.approx(0.03, abs=0.015)
    assert hours > timedelta(days=1)
    (backwards,) = shop.one(
        "select avg((received_at < before)::int) from (select received_at, lag(received_at) over "
        "(partition by filename order by file_row_number) as before from web_files)"
    )
    assert 0.005 < backwards < 0.08


def test_a_few_clocks_are_wrong_and_the_corrected_time_is_right(shop):
    (wrong,) = shop.one("select avg((abs(epoch(received_at - sent_at)) > 300)::int) from web")
    assert 0.002 < wrong < 0.06
    assert shop.one("select min(received_at - occurred_at) >= interval 0 seconds from web") == (True,)


def test_typed_values_have_their_share_of_typos(run_simulation, open_shop):
    clumsy = open_shop(run_simulation(difficulty=Difficulty(typo_share=0.2)))
    typos, told = clumsy.one(
        "select count(*) filter (is_typo), count(*) from web join truth_identifiers on identifier_type = 'email' "
        "and identifier_value = lower(trim(email)) where email is not null"
    )
    assert typos / told == pytest.approx(0.2, abs=0.05)
    assert clumsy.one("select count(*) from truth_identifiers where is_typo and identifier_type = 'phone'")[0] > 5


def test_a_stores_phone_stands_on_receipts_of_many_customers(run_simulation, open_shop):
    careless = open_shop(run_simulation(difficulty=Difficulty(store_phone_share=0.3)))
    share, cards = careless.one(
        "select avg(coalesce(phone like '%3140___', false)::int), count(distinct loyalty_id) filter (phone like '%3140___') from pos"
    )
    assert share == pytest.approx(0.3, abs=0.12)
    assert cards > 10


def test_bad_rows_are_booked_with_reasons(shop):
    reasons = dict(shop.rows("select reason, count(*) from truth_bad_rows group by 1"))
    assert set(reasons) == {"unknown_currency", "negative_price", "unknown_type", "occurred_too_far_ahead"}
    assert shop.summary.bad_rows == sum(reasons.values()) < 0.002 * shop.summary.rows
    found = shop.one("select count(distinct message_id) from web_files semi join truth_bad_rows using (message_id)")
    booked = shop.one("select count(*) from truth_bad_rows where source = 'simulator_web'")
    assert found == booked


def test_junk_values_stand_only_where_nobody_is_logged_in(shop):
    (junk,) = shop.one(
        "select count(*) from web where user_id in ('null', 'undefined') or email in ('null', 'test@test.com') "
        "or phone = '0000000000' or anonymous_id like '00000000-%' or device_id = 'undefined'"
    )
    assert 0.001 < junk / shop.summary.rows < 0.008


def test_only_germans_write_national_phone_numbers(shop):
    countries = shop.rows(
        "select distinct country from (select phone, context ->> '$.location.country' as country from web "
        "union all select phone, country from pos) where phone like '0%' and phone not like '00%'"
    )
    assert countries == [("DE",)]
    styles = shop.one("select count(*) filter (phone like '+%'), count(*) filter (phone like '00%'), count(*) from web")
    assert styles[0] > 3 * styles[1] > 0


def test_a_harder_shop_is_dirtier_than_an_easy_one(run_simulation):
    easy, hard = (run_simulation(events=6_000, difficulty=Difficulty.named(name)) for name in ("easy", "hard"))
    assert easy.duplicates * 4 < hard.duplicates
    assert easy.bad_rows <= hard.bad_rows


def test_an_unknown_difficulty_and_an_impossible_rate_are_refused():
    with pytest.raises(SimulationError, match="easy, default or hard"):
        Difficulty.named("brutal")
    with pytest.raises(SimulationError, match=r"typo_share is 1\.5"):
        Difficulty(typo_share=1.5)
