import bz2
import re
import time

import mwparserfromhell
import pytest
from sources_reading import read

from corpuskit.sources.base import SourceFile
from corpuskit.sources.wikitext import plain_text

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
    assert sum(bool(marks.search(text)) for text in found.texts) <= 0.02 * articles + 1


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
    "Name ({{IPA|x}}) was": "Name was",
    "a&nbsp;b &amp;lt; c": "a b &lt; c",
    "unclosed {{template and text": "unclosed template and text",
    "__NOTOC__text<br>line": "text\nline",
    "<nowiki/>plain": "plain",
    "[[en:English]]text": "text",
}


@pytest.mark.parametrize("source", CASES)
def test_wikitext(source):
    assert plain_text(source) == CASES[source]


@pytest.mark.parametrize(
    "unit",
    ["{{", "[[", "{|", "<ref>", "'''", "{{{", "[http://", "<!--", "{{a|", "[[a|", "|}}", "}}", "==", "(", "<b", "<br "],
)
def test_a_hostile_page_takes_no_longer_than_its_length_says(unit):
    started = time.process_time()
    plain_text(unit * 100_000)
    plain_text((unit + " x\n") * 30_000)
    assert time.process_time() - started < 5


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
