# ruff: noqa: E501, RUF001
# ruff: noqa: E501, RUF001
# ruff: noqa: E501, RUF001
"""The main text of pages of many kinds, and the tree under it."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.kernels.html import DEPTH, MOST_TAGS, parse
from corpuskit.sources.main_text import all_text, main_text

SENTENCES = (
    "The river rises in the hills behind the village, and for most of the year it is no more than a stream.",
    "In spring, when the snow melts, it carries away whatever was left on its banks: boats, fences, once a small bridge.",
    "People who have lived here for long say that the water was higher when they were young, but nobody measured it.",
    "A gauge was put up in 1931; its book, kept in the school, has an entry for every morning since then.",
    "What it shows is simple enough: the level follows the snow of the winter before, and nothing else that we know of.",
    "Last year the gauge was replaced by a sensor, which sends its numbers to the town every quarter of an hour.",
)
PROSE = "".join(f"<p>{sentence}</p>\n" for sentence in SENTENCES)
MENU = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in ("Home", "Maps", "Walks", "Weather", "Contact"))
COMMENTS = (
    '<div id="comments"><h3>2 comments</h3><ol class="comment-list">'
    '<li class="comment"><p>Anna says: I remember the old bridge well, my grandfather built it.</p></li>'
    '<li class="comment"><p>Tom says: Nice photographs, thank you so much for posting them here!</p></li></ol>'
    "<form><label>Leave a reply</label><textarea>Your words</textarea><button>Send</button></form></div>"
)
COOKIES = '<div class="cookie-banner" role="dialog"><p>We use cookies to make this site better for you.</p><a>Accept</a></div>'
BLOG = f"""<!DOCTYPE html><html><head><title>The river</title><style>p {{ color: red }}</style>
<script>var a = "<p>no text</p>";</script></head><body class="has-sidebar single-post">
<header><div class="logo"><a href="/">Valley notes</a></div><nav><ul>{MENU}</ul></nav></header>
{COOKIES}<div id="main"><article class="post"><h1>How high is the river?</h1>
<div class="meta">Posted on 3 May by <a href="/m">Mara</a></div>{PROSE}
<div class="share"><a>Share on Facebook</a> <a>Tweet</a></div></article>{COMMENTS}</div>
<aside id="sidebar"><h3>Recent posts</h3><ul>{MENU}</ul><p>Subscribe to our newsletter and miss nothing.</p></aside>
<footer><p>Copyright 2024 Valley notes. All rights reserved.</p></footer></body></html>"""


def has(text: str, *parts: str) -> bool:
    flat = " ".join(text.split())
    return all(part in flat for part in parts)


def test_an_article_is_taken_out_of_its_page() -> None:
    text = main_text(BLOG)
    assert has(text, "How high is the river?", *SENTENCES)
    for no in (
        "Weather",
        "cookies",
        "Tweet",
        "Anna says",
        "Leave a reply",
        "newsletter",
        "Copyright",
        "color",
        "no text",
    ):
        assert no not in text
    assert [part for part in text.split("\n\n") if part in SENTENCES] == list(SENTENCES)


def test_code_and_its_headings_stay() -> None:
    code = "def level(day):\n    if day &lt; 0:\n        raise ValueError\n    return GAUGE[day]"
    text = main_text(
        f"<body><div class='nav'><ul>{MENU}</ul></div><div class='document'><h1>The gauge module</h1>{PROSE}"
        f"<h2>Reading a level</h2><p>Call this function with the number of the day:</p><div class='highlight-python'>"
        f"<pre><span>{code}</span></pre></div><p>It raises an error for days before the first.</p>{PROSE}</div></body>"
    )
    assert "Reading a level\n\nCall this function" in text
    assert "def level(day):\n    if day < 0:\n        raise ValueError\n    return GAUGE[day]" in text


def test_a_page_of_links_is_not_empty() -> None:
    links = "".join(f'<li><a href="{n}.html">{word}Directive</a></li>' for n, word in enumerate("ABCDEFGHIJ" * 12))
    text = main_text(f"<body><h1>Directives</h1><p>A list of all directives.</p><ul>{links}</ul></body>")
    assert text.count("Directive") > 30


@pytest.mark.parametrize(
    "sentences",
    [
        [
            "这条河发源于村后的山里，一年中的大部分时间不过是一条小溪。",
            "春天雪化的时候，它会带走岸边的一切：小船、篱笆，还有一座小桥。",
        ],
        [
            "この川は村の裏の山から流れ出し、一年のほとんどは小さな流れにすぎない。",
            "春、雪が解けると、岸に残されたものを何でも運び去る。",
        ],
        ["แม่น้ำสายนี้ไหลมาจากภูเขาหลังหมู่บ้าน และเกือบตลอดทั้งปีเป็นเพียงลำธารเล็กๆ", "เมื่อหิมะละลายในฤดูใบไม้ผลิ มันจะพัดพาทุกสิ่งบนตลิ่งไป"],
        [
            "تنبع هذه النهر من التلال خلف القرية، وهي معظم السنة ليست أكثر من جدول.",
            "في الربيع، عندما يذوب الثلج، تحمل كل ما بقي على ضفافها.",
        ],
    ],
)
def test_languages_without_spaces_and_from_right_to_left(sentences: list[str]) -> None:
    body = "".join(f"<p>{sentence * 2}</p>" for sentence in sentences * 3)
    text = main_text(BLOG.replace(PROSE, body))
    assert all(sentence * 2 in text for sentence in sentences)
    assert "Weather" not in text
    assert "cookies" not in text


def test_how_lists_tables_and_lines_are_written() -> None:
    assert all_text("<ol><li>one<li>two<ul><li>in<p>more</p></ul><li>three</ol>") == (
        "1. one\n2. two\n  - in\n\nmore\n3. three"
    )
    assert all_text("<table><tr><th>day<th>level<tr><td>1<td>2.5 <b>m</b></table>") == "day | level\n1 | 2.5 m"
    assert all_text("<p>a<br>b<br><br>c<p>d") == "a\nb\n\nc\n\nd"
    assert all_text("a <b>b</b>c<i> d</i>\n e&nbsp;&amp;&lt;p&gt;") == "a bc d e &<p>"
    assert all_text("<pre>\n  x = 1\n\ty\n</pre>after") == "x = 1\n\ty\n\nafter"
    assert all_text("<dl><dt>word<dd>meaning<dt>other<dd>more</dl>") == "word\nmeaning\nother\nmore"
    assert all_text("<h1>Title</h1>text<hr>more") == "Title\n\ntext\n\nmore"
    assert all_text("1 < 2 and 3 > 2, <3 <>") == "1 < 2 and 3 > 2, <3 <>"


def test_what_is_hidden_is_no_text() -> None:
    for hidden in (
        "<div hidden>x</div>", "<p style='color:red; display : none'>x</p>", "<div aria-hidden=true><p>x</p></div>",
        "<script>x</script>", "<style>x</style>", "<noscript><p>x</p></noscript>", "<template><p>x</p></template>",
        "<!-- x -->", "<!-- <p>x --><!DOCTYPE x>", "<head><title>x</title></head>", "<svg><text>x</text></svg>",
        "<select><option>x</select>", "<textarea><p>x</textarea>", "<SCRIPT>x</p></SCRIPT>", "<iframe>x</iframe>",
        '<p STYLE="visibility:hidden">x</p>', "<script>if (a < b) x</script >", "<div title='>x'></div>",
    ):  # fmt: skip
        assert all_text(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter", hidden


def test_elements_that_are_never_closed() -> None:
    assert all_text("<head><title>t</title><meta x><body><p>text") == "text"
    assert all_text("<html><head><script>a</script><div>text</div>") != ""
    assert all_text("<p>one<div>two</p>three</div>four") == "one\n\ntwo\n\nthree\n\nfour"
    assert all_text("<td>a</table></div></p>b") == "a\n\nb"
    assert all_text("<p>a <a href=x>b <p>c</a> d") == "a b\n\nc d"
    for cut in range(1, len(BLOG), 37):
        main_text(BLOG[:cut])


@given(st.text("<>/=\"' pdivabr!-\n&;x", max_size=200))
@settings(max_examples=300)
def test_any_markup_is_read(markup: str) -> None:
    for read in (all_text, main_text):
        text = read(markup)
        assert not re.search(r"[ \t]\n|\n\n\n", text)
    data = np.frombuffer(markup.encode(), np.uint8)
    nodes, pieces, blocks, size = parse(data)
    assert size == len(data)
    assert (nodes[1:, 0] < np.arange(1, len(nodes))).all()
    assert (pieces[:, 0] < pieces[:, 1]).all()
    assert (np.diff(pieces[:, 2]) >= 0).all()
    assert blocks[:, 0].max(initial=0) < len(nodes)


def test_words_are_never_lost_but_where_markup_hides_them() -> None:
    chance = random.Random(2)
    for _ in range(200):
        words, markup = [], ""
        for number in range(chance.randrange(1, 60)):
            markup += chance.choice(
                ["<p>", "<div>", "</div>", "<b>", "</b>", "<li>", "</td>", "<a href='#'>", "</ul>", "<br/>"]
            )
            words.append(f"w{number}")
            markup += f" w{number} "
        assert re.findall(r"w\d+", all_text(markup)) == words


@pytest.mark.parametrize(
    "hostile",
    [
        "<div>" * 300_000 + "deep", "<p>" * 300_000, "<" * 1_000_000, "<a " * 300_000, "</div>" * 300_000,
        "<div " + "a=b " * 300_000 + ">x", "<!--" * 300_000, "<script>" * 200_000, "<td><tr>" * 100_000 + "x",
        "<ul><li>" * 100_000 + "x", "<div class='" + "nav " * 200_000 + "'>x", "&amp;" * 200_000, "<pre>" + " " * 1_000_000,
    ],
)  # fmt: skip
def test_hostile_pages_take_no_longer_than_their_length_says(hostile: str) -> None:
    assert len(main_text(hostile)) <= len(hostile)  # with a loop that goes back this would take hours


def test_elements_too_deep_and_tags_too_many_are_read_as_far_as_told() -> None:
    assert all_text("<div>" * (DEPTH + 50) + "deep" + "</div>" * (DEPTH + 50) + "<p>after") == "deep\n\nafter"
    data = np.frombuffer(b"<b>x" * (MOST_TAGS + 10), np.uint8)
    assert parse(data)[3] < len(data)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # end tags that may be left out
        ("<p>one <ruby>漢<rp>(<rt>kan<rp>)</ruby> two</p>three", "one 漢 two\n\nthree"),
        ("<ruby><rb>漢<rt>kan<rb>字<rt>ji</ruby> end", "漢字 end"),
        ("<p>one<ruby>漢<rt>kan<p>two", "one漢\n\ntwo"),
        ("<p>one<select><option>a<select><option>b</select><p>two", "one\n\ntwo"),
        ("<p>one<button>a<button>b</button><p>two", "one\n\ntwo"),
        # end tags that are missing
        ("<p>one<noscript>x<p>two</p></body></html>", "onex\n\ntwo"),
        ("<p>one<button>x<object>y<p>two", "onexy\n\ntwo"),
        ("<p>one<object>x<object>y</object>z</object><p>two", "one\n\ntwo"),
        # what an image is made of
        ("<p>one<svg><title/><style/><path d=''/></svg> two<p>three", "one two\n\nthree"),
        ("<p>one<!-- no --!> two <!--> three <!---> four", "one two three four"),
    ],
)
def test_an_element_without_its_end_tag_hides_nothing_behind_it(page: str, text: str) -> None:
    assert all_text(page) == text


def test_elements_of_a_head_that_does_not_end_stand_in_the_tree_once() -> None:
    page = b"<html><head><title>x</title><div class=a>first<p>one</div><p>two</p>"
    nodes, _, _, _ = parse(np.frombuffer(page, np.uint8))
    assert nodes[:, 3].tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("&#" + "1" * 5000 + ";", "\ufffd"),
        ("&#" + "0" * 5000 + "65;", "A"),
        ("&#00000000;", "\ufffd"),
        ("&#x1F600;", "\U0001f600"),
        ("&#12345678", "\ufffd"),
    ],
)
def test_a_number_of_any_length_refers_to_a_character(reference: str, text: str) -> None:
    assert all_text(f"<p>a{reference}b</p>") == f"a{text}b"


@pytest.mark.parametrize("blanks", [" ", "&nbsp;"])
def test_a_long_run_of_blanks_takes_no_longer_than_its_length(blanks: str) -> None:
    page = f"<pre>a &nbsp;\n{blanks * 1_000_000}x</pre>"  # hours, if it took the square of that
    assert all_text(page) == "a\n" + " " * 1_000_000 + "x"
