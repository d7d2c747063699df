"""Every vector that the vendors publish, each with where it stands; and what a rule does to hostile values."""

import hashlib
import string
from datetime import date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activation.destinations.hashing import RULES, identifier, is_postal_code_of, sha256
from identity.normalise import normalise

META, GOOGLE_1, GOOGLE_2 = RULES["meta-1"], RULES["google-1"], RULES["google-2"]
ALL = [(name, field) for name, rules in RULES.items() for field in rules]

# developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters, and the same hashes in
# developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences
META_HASHES = [
    ("EMAIL", "John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    ("PHONE", "+16505551212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
    ("FN", "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
    ("FN", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
    ("FN", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
    ("COUNTRY", "US", "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"),
]
# what the value is before it is hashed
META_SPELLINGS = [
    # rudderlabs/rudder-transformer src/v0/destinations/fb_custom_audience/util.test.ts
    ("PHONE", "+1 (650) 555-1212", "16505551212"),
    ("PHONE", "00919876543210", "919876543210"),
    ("PHONE", "+44 20 7946 0958", "442079460958"),
    ("FN", "O'Brien", "obrien"),
    ("LN", "Mary-Jane", "maryjane"),
    ("COUNTRY", "in", "in"),
    ("COUNTRY", "GB", "gb"),
    ("ZIP", "M1 1AE", "m11ae"),
    ("ZIP", "75018", "75018"),
    ("ZIP", "  K1A 0A6  ", "k1a0a6"),
    # facebook/capi-param-builder php/capi-param-builder/tests/PIIUtilsTest.php
    ("EMAIL", "  John.Doe@Example.COM  ", "john.doe@example.com"),
    ("EMAIL", "  Test.User+Tag@EXAMPLE.COM  ", "test.user+tag@example.com"),
    ("PHONE", "+1 (555) 123-4567", "15551234567"),
    ("GEN", "  Male  ", "m"),
    ("GEN", "  Female  ", "f"),
    ("FN", "  John Smith  ", "johnsmith"),
    ("LN", "  Mary Johnson  ", "maryjohnson"),
    ("CT", "  New York  ", "newyork"),
    ("CT", "  San Francisco  ", "sanfrancisco"),
    ("ST", "  California  ", "ca"),
    ("ST", "  New York  ", "ny"),
    ("ZIP", "  12345-6789  ", "12345"),
    ("ZIP", "  90210-1234  ", "90210"),
    # facebook/facebook-python-business-sdk serverside/tests/normalize_test.py
    ("FI", "ABC", "a"),
    ("DOBD", "1", "01"),
    ("DOBD", "31", "31"),
    ("DOBM", "9", "09"),
    ("DOBM", "12", "12"),
    ("DOBY", "2000", "2000"),
]
META_NOTHING = [
    # the same files: what no identifier is made of
    ("EMAIL", "invalid-email"),
    ("GEN", "unknown"),
    ("DOBD", "32"),
    ("DOBD", "0"),
    ("DOBD", "-1"),
    ("DOBM", "13"),
    ("DOBM", "0"),
    ("DOBY", "19999"),
    ("DOBY", "1"),
    ("COUNTRY", "USA"),
    ("COUNTRY", "U1"),
    # a number without its country: theirs would be hashed, and could be another person's
    ("PHONE", "abc123"),
    ("PHONE", "(650)555-1212"),
    ("MADID", "00000000-0000-0000-0000-000000000000"),
]

# developers.google.com/data-manager/api/devguides/audiences/send-audience-members (the four members of its sample)
GOOGLE_HASHES = [
    ("email", "dana@example.com", "07e2f1394b0ea80e2adca010ea8318df697001a005ba7452720edda4b0ce57b3"),
    ("email", "DanaM@example.com", "1df6b43bc68dd38eca94e6a65b4f466ae537b796c81a526918b40ac4a7b906c7"),
    ("email", "ALEXF@example.com", "19de0a9906ebee29fe82087be5ec44f3c01e40730bc808b663c71f19dd6b12f2"),
    ("email", " AlexF@cymbalgroup.com", "7d2d80e240594dcee2e57f57885ee286c4b232dd142234d7a0af6d31cc86679b"),
    ("email", "alexf@altostrat.com", "063c45291827d4994f98357b72862b25885834fd53cf8f0e4af359916fc03c62"),
    ("email", "quinn@CYMBALGROUP.com", "05bb62526f091b45d20e243d194766cca8869137421047dc53fa4876d111a6f0"),
    ("email", "baklavainthebalkans@gmail.com  ", "f1fcde379f31f4d446b76ee8f34860eca2288adc6b6d6c0fdc56d9eee75a2fa5"),
    ("email", "rosario@example.org", "83a834cc5327bc4dee7c5408988040dc5813c7662611cd93b707aff72bf7d33f"),
    ("email", "cloudySanFrancisco@GMAIL.com", "223ebda6f6889b1494551ba902d9d381daf2f642bae055888e96343d53e9f9c4"),
    ("phone", "+1-800-555-0110", "525c2390a4e2a9766fa8ddc341dd10414603baebefa401f5a5e29f55e176525d"),
    ("phone", "+18005550101", "61d6c2976b5d92b1ad63073a12fddd26040cd980067d03a93dd1cc50f1a3ac68"),
    ("phone", "+18005550102", "c5383c2eeada28210d27f011bc127d4f9562cf38ff0c9bba33dd45ae79b9fe7c"),
    # googleads/data-manager-python tests/formatter_test.py
    ("email", "  ALEXZ@example.com   ", "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"),
    ("email", "  alexz@EXAMPLE.com   ", "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"),
    ("phone", "   +1-800-555-0100", "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"),
    ("phone", "+1 800-555-0100", "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"),
    ("given_name", "  GivenName  ", "128a07bfe2df877c52076e60d7774cf5baaa046c5a6c48daf30ff43ecca2f814"),
    ("family_name", "  FamilyName ", "77762c287e61ce065bee5c15464012c6fbe088398b8057627d5577249430d574"),
    # developers.google.com/data-manager/api/devguides/concepts/formatting
    (
        "email",
        "cloudy.sanfrancisco+shopping@gmail.com",
        "223ebda6f6889b1494551ba902d9d381daf2f642bae055888e96343d53e9f9c4",
    ),
    ("email", "user.name+NYC@Example.com", "f109a2a632fbcea5fc82049f50beed3d8621bf9034399f437fb622222acccdac"),
]
GOOGLE_SPELLINGS = [
    # googleads/data-manager-python tests/formatter_test.py
    ("email", "QuinnY@EXAMPLE.com", "quinny@example.com"),
    ("email", "Jefferson.Loves.hiking@gmail.com", "jeffersonloveshiking@gmail.com"),
    ("email", "Jefferson.LOVES.Hiking@googlemail.com", "jeffersonloveshiking@googlemail.com"),
    ("email", "Cloudy.SanFrancisco+shopping@googlemail.com", "cloudysanfrancisco@googlemail.com"),
    ("phone", "+441134960987", "+441134960987"),
    ("phone", "+44-113-496-0987", "+441134960987"),
    ("region_code", " uS ", "US"),
    ("postal_code", " 1229-076  ", "1229-076"),
    # the formatting page in words: spaces inside go as well, no prefixes, no suffixes
    ("email", "dana @ example.com", "dana@example.com"),
    ("given_name", "Mrs. Mary", "mary"),
    ("given_name", "Prof. Dr. Lise", "lise"),
    ("given_name", "Drew", "drew"),
    ("family_name", "King, Jr.", "king"),
    ("family_name", "King III", "king"),
    ("family_name", "Srinivasan", "srinivasan"),
]
GOOGLE_NOTHING = [
    ("email", ""), ("email", "  "), ("email", "quinn"), ("email", " @googlemail.com"), ("email", " ...@gmail.com"),
    ("phone", ""), ("phone", " +A BCD EFG "), ("region_code", "USA"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "expected"), META_HASHES)
def test_metas_published_hashes_match(field: str, value: str, expected: str) -> None:
    assert identifier(META[field], value) == expected


@pytest.mark.parametrize(("field", "value", "expected"), META_SPELLINGS)
def test_metas_published_spellings_match(field: str, value: str, expected: str) -> None:
    assert META[field].normalise(value) == expected
    assert identifier(META[field], value) == hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.parametrize(("field", "value"), META_NOTHING)
def test_what_meta_could_not_match_is_not_sent(field: str, value: str) -> None:
    assert identifier(META[field], value) is None


@pytest.mark.parametrize(("field", "value", "expected"), GOOGLE_HASHES)
def test_googles_published_hashes_match(field: str, value: str, expected: str) -> None:
    assert identifier(GOOGLE_2[field], value) == expected


@pytest.mark.parametrize(("field", "value", "expected"), GOOGLE_SPELLINGS)
def test_googles_published_spellings_match(field: str, value: str, expected: str) -> None:
    assert GOOGLE_2[field].normalise(value) == expected


@pytest.mark.parametrize(("field", "value"), GOOGLE_NOTHING)
def test_what_google_could_not_match_is_not_sent(field: str, value: str) -> None:
    assert identifier(GOOGLE_2[field], value) is None


def test_the_same_phone_hashes_differently_for_meta_and_google() -> None:
    stored = normalise("phone", "(650)555-1212", "1")
    assert stored == "+16505551212"
    assert identifier(META["PHONE"], stored) == "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"
    assert identifier(GOOGLE_2["phone"], stored) == hashlib.sha256(b"+16505551212").hexdigest()
    assert identifier(META["PHONE"], stored) != identifier(GOOGLE_2["phone"], stored)


def test_metas_gmail_keeps_what_googles_loses() -> None:
    address = "cloudy.sanfrancisco+shopping@gmail.com"
    assert META["EMAIL"].normalise(address) == address
    assert GOOGLE_2["email"].normalise(address) == "cloudysanfrancisco@gmail.com"


def test_the_older_rule_of_google_takes_only_the_dots() -> None:
    address = "cloudy.sanfrancisco+shopping@gmail.com"
    assert GOOGLE_1["email"].normalise(address) == "cloudysanfrancisco+shopping@gmail.com"
    assert identifier(GOOGLE_1["phone"], "+18005550100") == identifier(GOOGLE_2["phone"], "+18005550100")


def test_what_a_vendor_wants_unhashed_is_sent_as_it_is() -> None:
    device = "aece52e7-03ee-455a-b3c4-e57283966239"
    assert identifier(META["MADID"], device.upper()) == device
    assert identifier(META["EXTERN_ID"], "Customer 1") == "Customer 1"
    assert identifier(GOOGLE_2["region_code"], "us") == "US"
    assert identifier(GOOGLE_2["postal_code"], "94043") == "94043"


def test_a_birthday_may_be_a_column_of_any_type() -> None:
    for value in (date(1990, 3, 7), datetime(1990, 3, 7, 12), "1990-03-07", "1990-03-07 00:00:00"):
        parts = [META[field].normalise(str(value)) for field in ("DOBY", "DOBM", "DOBD")]
        assert parts == ["1990", "03", "07"]
        assert identifier(META["DOBM"], value) == sha256("03")
    assert identifier(META["DOBY"], 1990.0) == identifier(META["DOBY"], 1990) == sha256("1990")


def test_an_american_postal_code_has_five_digits_or_nine() -> None:
    assert is_postal_code_of("US", "94043") and is_postal_code_of("US", "94043-1351")
    assert not is_postal_code_of("US", "9404")
    assert is_postal_code_of("GB", "WC2H 8LG")


def test_a_decomposed_accent_is_the_same_name() -> None:
    assert identifier(META["FN"], "Vale\u0301ry") == META_HASHES[4][2]


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(string.ascii_letters + "@.+- \t0123456789", max_size=30),
    st.from_regex(r"\A[A-Za-z.+]{1,10}@(gmail|googlemail|example)\.com\Z"),
    st.from_regex(r"\A(\+|00)[1-9][0-9 ()-]{7,16}\Z"),
    st.from_regex(r"\A((Mrs|Dr|Prof)\.? ?){0,3}[A-Z][a-z]{0,6},? ?(Jr|III|Sr)?\.?\Z"),
)


@given(HOSTILE)
@example("\ud800")
@example("İ@İ.İ")
@example("a" * 5000)
@example("\uff0b\uff14\uff19\uff11\uff17\uff11\uff11\uff12\uff13\uff14\uff15\uff16\uff17")
def test_a_spelling_is_its_own_spelling_and_nothing_stays_in_clear(value: str) -> None:
    for name, field in ALL:
        rule = RULES[name][field]
        spelt = rule.normalise(value)
        if spelt is None:
            continue
        assert rule.normalise(spelt) == spelt or (field == "PHONE" and rule.normalise(f"+{spelt}") == spelt), (
            name,
            field,
        )
        sent = identifier(rule, value)
        assert not rule.is_hashed or (len(sent) == 64 and set(sent) <= set("0123456789abcdef"))


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.datetimes(), st.decimals(), st.binary()
    )
)
def test_a_value_of_any_type_gives_an_identifier_or_nothing(value: object) -> None:
    for name, field in ALL:
        assert isinstance(identifier(RULES[name][field], value), str | None)
