"""Expectations are comparisons of counted numbers and nothing else: no other code is ever evaluated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.errors import ExpectFailed, UsageError
from corpuskit.recipe import parse_expect

FUNCTIONS = {
    "docs": {"web": 12, "books": 0}.__getitem__,
    "tokens": {"web": 1000, "books": 0}.__getitem__,
    "drop_rate": {"too_short": 0.25, "it's": 0.5}.__getitem__,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("docs('web') > 10", True),
        ("docs('web') > 12", False),
        ("0 < docs('web') <= 12", True),
        ("0 < docs('books') <= 12", False),
        ("drop_rate('too_short') == 0.25 and not docs('web') < 3", True),
        ("docs('web') < 1 or docs('books') != 1", True),
        ("tokens('web') / docs('web') >= 80 + 3 * 1 - -0.3", True),
        ('drop_rate("it\'s") < .6', True),
        ("docs('books') > 1 and 1 / docs('books') > 0", False),
    ],
)
def test_it_means_what_it_says(text, holds):
    assert parse_expect(text).evaluate(FUNCTIONS) is holds


def test_it_names_what_it_asks_for():
    assert parse_expect("docs('web') > drop_rate('x')").calls == (("docs", "web"), ("drop_rate", "x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("docs('web') >", "does not parse"),
        ("docs('web') > 1 AND docs('web') < 3", "does not parse"),
        ("docs('web') = 1", "does not parse"),
        ("", "does not parse"),
        ("docs('web')", "is not a comparison"),
        ("dosc('web') > 1", "did you mean `docs`"),
        ("docs(web) > 1", "takes one quoted name"),
        ("docs('web', 'books') > 1", "takes one quoted name"),
        ("docs(name='web') > 1", "takes one quoted name"),
        ("1 < 2", "asks nothing of the run"),
        ("docs('web') > 'a'", "is not a number"),
        ("docs('web') > True", "is not a number"),
        ("docs('web') > 9 ** 9 ** 9", "is not a number"),
        ("docs('web') in (1, 2)", "is not a comparison"),
        ("docs('web') > [x for x in ()]", "is not a number"),
        ("docs('web').__class__ > 1", "is not a number"),
        ("__import__('os').system('x') > 1", "takes one quoted name|is not a number|no function"),
        ("(lambda: 1)() > 1", "is not a number"),
        ("(x := 1) > 1", "is not a number"),
        ("docs(f'{1}') > 1", "takes one quoted name"),
        ("(" * 5000 + "1" + ")" * 5000, "does not parse"),
        ("docs('a\0') > 1", "does not parse"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, reason):
    with pytest.raises(UsageError, match=reason):
        parse_expect(text)


def test_a_division_by_zero_is_an_expectation_that_failed():
    with pytest.raises(ExpectFailed, match="divides by zero"):
        parse_expect("1 / docs('books') > 1").evaluate(FUNCTIONS)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text):
    try:
        expectation = parse_expect(text)
    except UsageError:
        return
    assert expectation.calls
