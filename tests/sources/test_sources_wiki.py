import bz2
import re
import time

import mwparserfromhell
import pydantic
import pytest
from sources_reading import read

from corpuskit.core.registry import builtin
from corpuskit.sources.base import SourceFile
from corpuskit.sources.wikitext import plain_text
from corpuskit.sources.xml import clean_xml

PAGE = (
    "<page><title>{title}</title><ns>{ns}</ns><id>{id}</id>{extra}"
    "<revision><id>9</id><text>{text}</text></revision></page>"
)
HEAD = (
    '<mediawiki xml:lang="de"><siteinfo><base>https://de.wikipedia.org/wiki/Hauptseite</base><namespaces>'
    '<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace></namespaces></siteinfo>'
)


def dump(*pages):
    return HEAD + "".join(pages) + "</mediawiki>"


def page(title="A b", ns=0, id=1, extra="", text="Text."):  # noqa: A002
    return PAGE.format(title=title, ns=ns, id=id, extra=extra, text=text)


MIXED = dump(
    page(text="Eins [[Datei:x.jpg|mini|Bild]]zwei. [[Kategorie:Y]]"),
    page(title="Alt", extra='<redirect title="A b"/>', id=2),
    page(title="Vorlage:X", ns=10, id=3),
    page(title="Ö &amp; Ü", id=4, text="&lt;b&gt;fett&lt;/b&gt; &amp;amp; mehr"),
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_articles_are_kept_and_the_rest_counted(encoding, tmp_path):
    path = tmp_path / "dump.xml"
    path.write_bytes(MIXED.encode(encoding))
    found = read("wikipedia", path)
    assert found.documents == [
        {
            "text": "Eins zwei.",
            "title": "A b",
            "page_id": 1,
            "url": "https://de.wikipedia.org/wiki/A_b",
            "content_language": "de",
        },
        {
            "text": "fett & mehr",
            "title": "Ö & Ü",
            "page_id": 4,
            "url": "https://de.wikipedia.org/wiki/%C3%96_%26_%C3%9C",
            "content_language": "de",
        },
    ]
    assert found.skipped == ["redirect", "not in the main namespace"]


def test_multistream_dumps_are_read_to_the_end(tmp_path):
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(b"".join(bz2.compress(MIXED[i : i + 300].encode()) for i in range(0, len(MIXED), 300)))
    assert len(read("wikipedia", path).documents) == 2


def test_a_cut_dump_gives_all_complete_pages_then_an_error(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text(dump(page(), page(id=2), page(id=3))[:-60])
    found = read("wikipedia", path)
    assert [document["page_id"] for document in found.documents] == [1, 2]
    assert "breaks at line 1" in str(found.error)


def test_a_dump_that_was_cut_before_it_was_compressed_is_read_to_its_last_whole_page(tmp_path):
    path = tmp_path / "dump.xml.bz2"
    whole = dump(page(), page(id=2), page(id=3))
    path.write_bytes(bz2.compress(whole[:-60].encode()))
    found = read("wikipedia", path)
    assert [document["page_id"] for document in found.documents] == [1, 2]
    assert found.skipped == ["cut off at the end of the dump"]
    assert found.error is None
    path.write_bytes(bz2.compress(whole.encode())[:-20])
    assert read("wikipedia", path).error is not None


def test_entity_bombs_are_refused(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text('<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + dump(page(text="&b;")))
    assert "entity" in str(read("wikipedia", path).error)


def test_a_page_beyond_the_limit_is_bad_and_reading_goes_on(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text(dump(page(text="x" * 3_000_000), page(id=2)))
    found = read("wikipedia", path, file=SourceFile(str(path), "x", max_doc_bytes=10_000))
    assert [bad.where for bad in found.bad] == ["page 'A b'"]
    assert [document["page_id"] for document in found.documents] == [2]


@pytest.mark.parametrize(
    ("name", "articles", "records", "cut"),
    [
        ("enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.xml.bz2", 106, 206, False),
        ("bgwiki-latest-pages-articles-shortened.xml.bz2", 1, 3, False),
        ("enwiki-table-markup.xml.bz2", 5, 5, False),
        ("ukwiki-20230501-truncated-100k.xml.xz", 512, 532, True),
        ("jawiki-20230501-truncated-100k.xml.xz", 189, 238, True),
        ("bnwiki-20230501-truncated-100k.xml.xz", 380, 722, True),
    ],
)
def test_real_dumps(name, articles, records, cut, shared):
    found = read("wikipedia", shared / "wikipedia" / name)
    assert found.error is None
    assert len(found.documents) == articles
    assert len(found.documents) + len(found.skipped) == records + cut
    assert ("cut off at the end of the dump" in found.skipped) == cut
    marks = re.compile(r"\{\{|\}\}|\[\[|\]\]|'''|<ref|^\{\||^\|", re.MULTILINE)
    formulas = re.compile(r"\$[^$]*\$")
    assert sum(bool(marks.search(formulas.sub("", text))) for text in found.texts) <= 0.01 * articles + 1


# ruff: noqa: RUF001
CASES = {
    "a {{x|{{y}}|{{{1|}}}}} b": "a b",
    "a {{x|}} b {{y||}} c": "a b c",
    "{| class=x\n| cell {{t}}\n{| nested\n|}\n|}\ntext": "text",
    "[[target|label]] and [[plain]]s": "label and plains",
    "[[File:x.png|thumb|A [[link]] in a caption]]text": "text",
    "[[:Category:X]] [[Category:X]]": "Category:X",
    "see [http://x.org the site] or [http://y.org]": "see the site or",
    "fact<ref name=a>cited {{cite|x}}</ref> more<ref name=b/>.": "fact more.",
    "a<!-- hidden\n\n -->b": "ab",
    "'''bold''' and ''italic''": "bold and italic",
    "intro\n== Heading ==\nbody\n== References ==\n<references/>": "intro\n\nHeading\n\nbody",
    "* one\n** two\n# three": "- one\n  - two\n- three",
    "x {{lang|fr|bonjour}} {{convert|10|km|mi}} y": "x bonjour 10 km y",
    "Name ({{IPA-fr|x}}; born) was, {{IPA-fr|x}}, one": "Name (born) was, one",
    "a&nbsp;b &amp;lt; c": "a b &lt; c",
    "unclosed {{template and text": "unclosed template and text",
    "__NOTOC__text<br>line": "text\nline",
    "<nowiki/>plain": "plain",
    "[[en:English]]text [[zh-min-nan:X]]": "text",
    # literals
    "so <math>a_{1} <b> [[x]]</math><math>b</math>, <chem>H2O</chem>": r"so $a_{1} <b> [[x]]$ $b$, $\ce{H2O}$",
    "is\n<math display='block'>\\frac{a}{{b}}</math>\nhere": "is\n\n$$\\frac{a}{{b}}$$\n\nhere",
    "<syntaxhighlight lang=c>\nif (a &lt; b)\n\n\n  {{x}}  [[y]] ''z''\n</syntaxhighlight>\ntext": (
        "if (a &lt; b)\n\n\n  {{x}}  [[y]] ''z''\n\ntext"
    ),
    "use <source inline>a  [[b]]</source> or <code>a_b = 'x'  &lt;y></code>": "use a  [[b]] or a_b = 'x'  <y>",
    "<code>'''static'''</code> <code>[[C|c]]</code> <code><nowiki>[[C]]</nowiki></code>": "static c [[C]]",
    "<pre>a\n  <nowiki>{{b}}</nowiki> &amp;</pre>": "a\n  {{b}} &",
    "<nowiki>[[x]] ''y'' {{z}} <b> &lt;</nowiki>": "[[x]] ''y'' {{z}} <b> <",
    "x<ref>y <math>z</math></ref> <!-- <math> -->q": "x q",
    "open <math>x and [[y]]": "open x and y",
    # templates of sentences
    "won {{frac|2|3}} in both, {{sfrac|n + 1|2}} or {{frac|3|1|2}}": "won 2/3 in both, (n + 1)/2 or 3 1/2",
    "{{convert|5|-|10|km|mi}}, {{cvt|6|ft|2|in|m}}, {{convert|3|km2}}": "5–10 km, 6 ft 2 in, 3 km²",
    "{{val|6.2|e=18|u=m}} {{e|-3}} 10<sup>6</sup> CO<sub>2</sub> 4<sup>th</sup>": "6.2×10¹⁸ m ×10⁻³ 10⁶ CO₂ 4th",
    "{{math|1=x = {{mvar|y}}}} {{chem|SO|4|2-}}": "x = y SO₄²⁻",
    "{{lang-la|1=a = b}} {{langx|fr|c}} {{transl|ar|DIN|d}} {{transl|ar|e}}": "a = b c d e",
    "{{lang|fr|[[a|b]] c}} {{nowrap|{{lang|la|d}} e}}": "b c d e",
    "{{USS|Name|CV-1}}, {{HMS|Name|A1|6}}, {{ship|SS|Name}}": "USS Name (CV-1), HMS Name, SS Name",
    "{{As of|2014|7|lc=y}} {{circa|50}} {{birth date|1990|1|5|df=y}}": "as of July 2014 c. 50 5 January 1990",
    "{{quote|text=One.\n\nTwo.|author=X}}": "One.\n\nTwo.",
    "a{{snd}}b{{'}}s{{=}}{{!}}c {{formatnum:1000}} {{ill|X|de|Y|lt=label}}": "a – b's=|c 1000 label",
    "{{flagicon|X}} {{flag|Austria}} {{main|Y}}{{#if:{{{1|}}}|a|b}}{{#expr:1+1}}{{coord|1|2}}": "Austria",
    "word {{citation needed}}, more {{sfn|a}}.": "word, more.",
    "Bonjour\u00a0! <ref>x</ref>": "Bonjour !",
    "-{zh-hans:a; zh-hant:b}- -{c}- -{H|zh:d;zh-tw:e}-f": "a c f",
    # links, switches and tables
    "[[Bild:x.jpg|a]][[Файл:y.jpg]][[image:z|b]][[カテゴリ:w]]text": "text",
    "[[:Category:X|label]] [[:de:Y]] [[Foo (bar)|]] [[wikt:z|zed]]": "label de:Y Foo zed",
    "__БЕЗ_ОГЛ__ __目次__text __init__ __FILE__": "text __init__ __FILE__",
    "{|\n| [[File:a|b]] || {{lang|fr|c}}\n|}\na {| b": "a {| b",
}


@pytest.mark.parametrize("source", CASES)
def test_wikitext(source):
    assert plain_text(source) == CASES[source]


HOSTILE = """
{{ | [[ | {| | <ref>
''' | {{{ | [http:// | <!-- | {{a| | [[a| | |}} | }} | == | ( | <b | <br | <math> | <nowiki> | </ref>
-{ | __A | {{lang|a| | [[File: | <sup> | &# | [[a|{{nowrap|
"""


@pytest.mark.parametrize("unit", ["<br ", "\n{|", *re.split(r" \| |\n", HOSTILE.strip())])
def test_a_hostile_page_takes_no_longer_than_its_length_says(unit):
    started = time.process_time()
    plain_text(unit * 100_000)
    plain_text((unit + " x\n") * 30_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("opening", "closing"), [("[[a|", "]]"), ("{{j|", "}}"), ("{{j|[[a|", "]]}}"), ("\n{|", "\n|}")]
)
def test_what_is_nested_deeply_and_closed_takes_no_longer_either(opening, closing):
    started = time.process_time()
    plain_text(opening * 100_000 + "x" * 1_000_000 + closing * 100_000)
    assert time.process_time() - started < 5


def test_a_user_says_what_further_templates_say(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text(dump(page(text="{{Own_name|a|b}} {{Other|x=c}} {{Other|d}}; {{lang|fr|e}}.")))
    found = read("wikipedia", path, templates={"own name": 2, "Other": "({1|x})", "lang": ""})
    assert found.texts == ["b (c) (d);."]


@pytest.mark.parametrize("wrong", [0, -1, "{1", "{}", 1.5, None])
def test_a_wrong_entry_for_a_template_is_refused(wrong):
    reader = builtin(("source",))["wikipedia"]
    with pytest.raises(pydantic.ValidationError, match="own"):
        reader.validate({"templates": {"own": wrong}})


def test_english_words_stand_in_english_pages_alone(tmp_path):
    path = tmp_path / "dump.xml"
    path.write_text(dump(page(text="{{as of|2014}}, {{birth date|1990|1|5}}")))
    assert read("wikipedia", path).texts == ["2014, 1990-01-05"]
    path.write_text(path.read_text().replace('"de"', '"en"'))
    assert read("wikipedia", path).texts == ["As of 2014, January 5, 1990"]


DAMAGE = [
    b"\xff",
    b"\xe2\x82",
    b"\0",
    b"\x1f",
    b"\xef\xbf\xbf",
    b"\xed\xa0\x80",
    b"&#x1F;",
    b"&#0;",
    b"&#xD800;",
    b"&#65535;",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_bytes_cost_no_page(damage, tmp_path):
    path = tmp_path / "dump.xml"
    path.write_bytes(dump(page(text="a$$b"), page(id=2, text="ö &amp;#x41; &#x41;")).encode().replace(b"$$", damage))
    found = read("wikipedia", path)
    assert found.error is None
    assert found.texts[0].strip("\ufffd") == found.texts[0]
    assert re.fullmatch("a\ufffd+b", found.texts[0])
    assert found.texts[1] == "ö A A"


def test_xml_is_cleaned_the_same_wherever_it_is_cut():
    good = "a\u20ac\U0001f600 &#xA; &#13; &#55295; &#57344; &#x10FFFF; \ufffd \x7f".encode()
    assert b"".join(clean_xml(iter([good]))) == good
    whole = good.join(DAMAGE)
    expected = b"".join(clean_xml(iter([whole])))
    for at in range(len(whole) + 1):
        assert b"".join(clean_xml(iter([whole[:at], b"", whole[at : at + 2], whole[at + 2 :]]))) == expected
    declared = b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>'
    assert b"".join(clean_xml(iter([declared]))) == declared


def test_words_agree_with_a_full_parser(shared):
    """mwparserfromhell knows the whole syntax; its words and ours differ by tables, captions and the like."""
    found = read("wikipedia", shared / "wikipedia/enwiki-table-markup.xml.bz2")
    source = bz2.decompress((shared / "wikipedia/enwiki-table-markup.xml.bz2").read_bytes()).decode()
    import html

    texts = [html.unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", source, re.DOTALL)]
    for ours, wikitext in zip(found.texts, texts, strict=True):
        code = mwparserfromhell.parse(re.sub(r"<ref[^>]*/>|<ref.*?</ref>", "", wikitext, flags=re.DOTALL))
        theirs = set(re.findall(r"\w{4,}", code.strip_code()))
        words = re.findall(r"\w{4,}", ours)
        assert sum(word in theirs for word in words) / len(words) > 0.97
