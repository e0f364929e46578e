r"""Wikitext to clean text, by rules that read the page a fixed number of times: none takes longer than its length says.

Kept: paragraphs; headings (`== x ==` as a line of its own without marks); lists (`- `); links by their labels;
mathematics as LaTeX (`$...$`, where it stands alone `$$...$$`; chemistry as `$\ce{...}$`); code and preformatted text
with its line breaks and indentation; digits that are raised or lowered as such (10⁶, H₂O); what templates of running
text say (`wikitemplates`).

Out: templates of all other kinds, thus infoboxes, navigation boxes, hatnotes and parser functions; tables, of wiki
marks or HTML (of 699 on real pages in four languages 9 are mostly prose; the others are figures, names and layout);
references, galleries, files with their captions, categories, comments, links to other languages, behaviour switches;
headings with nothing below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from corpuskit.sources.references import unescape
from corpuskit.sources.wikitemplate_texts import lowered, raised
from corpuskit.sources.wikitemplates import Meaning, key_of, text_of

_DROPPED = (
    "ref|gallery|timeline|imagemap|score|hiero|templatedata|graph|mapframe|maplink|inputbox|references|noinclude|"
    "includeonly|categorytree|dynamicpagelist|section|templatestyles|table|style|script|indicator|rss"
)
_LITERAL = "math|chem|ce|syntaxhighlight|source|pre|code|nowiki"
_ELEMENT = re.compile(rf"<(?:!--|(/?)({_DROPPED}|{_LITERAL})\b([^<>]*)>)", re.IGNORECASE)
_LITERAL_NAMES = frozenset(_LITERAL.split("|"))
_NOWIKI = re.compile(r"</?nowiki\s*/?>", re.IGNORECASE)
_STANDS_ALONE = re.compile(r"""\b(?:display\s*=\s*["']?block|display\s*=\s*["']?displayed)""", re.IGNORECASE)
_INLINE = re.compile(r"\binline\b", re.IGNORECASE)
_SAVED = re.compile("\1(\\d+)\2")

_PLAIN_LINK = re.compile(r"\[\[(?:[^\[\]|:{}\n]*\||(?=[^\[\]|:{}\n]+\]\]))([^\[\]|{}]+)\]\]")
_LINK = re.compile(r"\[\[([^\[\]{}]*)\]\]")
_TEMPLATE = re.compile(r"\{\{(?<!\{\{\{)(?!\{)([^{}]*)\}\}")
_MARKS = re.compile(r"\{\{+|\}\}+|\[\[|\]\]|\{\||\|\}(?!\})")
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,6}){0,2}|simple")
_NO_LANGUAGE = frozenset({"doi", "rfc", "wmf", "mw", "irc", "oed"})
_DISAMBIGUATION = re.compile(r"\s*[(\uff08][^()\uff08\uff09]*[)\uff09]$|, .*$")
DEPTH = 40
"""Marks that are nested deeper, as in MediaWiki, say nothing."""

_BREAK = re.compile(r"<(?:br|hr)\s*/?>|</?(?:p|div|blockquote|center|poem|li|tr|td|dd|dt)\b[^<>]*>", re.IGNORECASE)
_RAISED = re.compile(r"<su([pb])\b[^<>]*>([^<>\n]*)</su\1>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_SWITCH = re.compile(r"__(?!(?:FILE|LINE|DATE|TIME|DIR|DATA|END|FUNCTION|CLASS|VA_ARGS)__)(?!_)([^\W\d]{2,40})(?<!_)__")
_QUOTES = re.compile(r"''+")
_EXTERNAL = re.compile(r"\[(?:(?:https?:|ftps?:|irc:)?//|mailto:|news:)[^\s\[\]]*(?:[ \t]+([^\[\]\n]*))?\]")
_EMPTY_PARENTHESES = (
    re.compile(r"\([ ,;:\u060c\u3001\u00b7]*[)\uff09]"),
    re.compile(r"\uff08[ ,;:\u060c\u3001\u00b7]*[)\uff09]"),
)
_PARENTHESIS_START = re.compile(r"\((?: ?[,;\u060c\u3001])+ *")
_CLOSING_MARKS = frozenset(",.;:!?)]")
_VARIANT = re.compile(r"-\{(?:([A-Z\-;]{0,4})\|)?(?:\s*[a-z]{2,3}(?:-[a-z]+)?\s*:)?([^{};]*)(?:;[^{}]*)?\}-")
_SPACES = re.compile(r"  +")
_BLANKS = re.compile(r"\n\n\n+")
_HEADING = re.compile(r"(={1,6})[ \t]*(.+?)[ \t]*\1$")
_LIST = re.compile(r"([*#:;]+)[ \t]*")
_SPECIAL = frozenset("=-*#:;|!{")
_COMMON_ENTITIES = {"&nbsp;": " ", "&ndash;": "–", "&mdash;": "—", "&thinsp;": "\u2009"}

_DROPPED_NAMESPACES = (
    "file|image|media|category|datei|bild|medium|kategorie|fichier|média|catégorie|archivo|imagen|medio|categoría|immagine|"
    "categoria|ficheiro|arquivo|imagem|multimédia|mídia|bestand|afbeelding|categorie|plik|grafika|kategoria|файл|"
    "изображение|медиа|категория|зображення|медіа|медиум|категорія|выява|катэгорыя|слика|датотека|медија|категорија|"
    "картинка|медия|кат|slika|datoteka|medij|kategorija|soubor|mediální|médium|kategorie|súbor|obrázok|kategória|"
    "fájl|kép|fișier|imagine|fil|kategori|tiedosto|kuva|luokka|vaizdas|attēls|pilt|fail|skeeda|dosya|resim|ortam|"
    "berkas|gambar|tập tin|hình|phương tiện|thể loại|αρχείο|εικόνα|μέσο|κατηγορία|קובץ|תמונה|מדיה|קטגוריה|ملف|صورة|"
    "وسائط|تصنيف|پرونده|تصویر|مدیا|رده|فائل|زمرہ|चित्र|मीडिया|श्रेणी|वर्ग|চিত্র|মিডিয়া|বিষয়শ্রেণী|படிமம்|பகுப்பு|"
    "దస్త్రం|బొమ్మ|వర్గం|പ്രമാണം|ചിത്രം|വർഗ്ഗം|ไฟล์|ภาพ|หมวดหมู่|ファイル|画像|メディア|カテゴリ|파일|그림|미디어|분류|"
    "文件|檔案|档案|图像|圖像|图片|媒体|媒體|分类|分類|պատկեր|կատեգորիա|ფაილი|სურათი|კატეგორია|şəkil|fayl|сурет|санат|"
    "fitxer|imatge|fitxategi|irudi|categoría|ficheru|imaxe|dosiero|dosiere|mynd|skrá|flokkur|íomhá|delwedd|categori|"
    "lêer|beeld|faili|picha|jamii|talaksan|larawan|kaurangon|figura|stuðul|бөлөм|төркем|рәсем"
)
FILES_AND_CATEGORIES = frozenset(_DROPPED_NAMESPACES.split("|"))
"""Names of the namespaces, with their aliases, whose links are no text: a dump names the present ones of its language
alone, and pages are full of older ones and English ones."""


def plain_text(
    wikitext: str, dropped_namespaces: frozenset[str] = frozenset(), templates: Mapping[str, Meaning] | None = None
) -> str:
    """Turn one page's wikitext into text.

    Args:
        wikitext: of the page.
        dropped_namespaces: names, in lower case, of the namespaces whose links are dropped as a whole (files,
            categories), in the dump's language.
        templates: what further templates say, names in lower case; see `wikitemplates.text_of`.
    """
    saved: list[str] = []
    text = _elements(wikitext.replace("\r\n", "\n"), saved)
    text = _templates_and_links(text, dropped_namespaces | FILES_AND_CATEGORIES, templates or {})
    if "__" in text:
        text = _SWITCH.sub(_switch, text)
    text = _QUOTES.sub("", "".join(filter(None, _EXTERNAL.split(text))))
    if "<" in text:
        text = _TAG.sub("", _RAISED.sub(_script, _BREAK.sub("\n", text)))
    text = "\n".join(_lines(_spaced(text)))
    text = unescape(_BLANKS.sub("\n\n", text)).replace("\u00a0", " ").replace("\3", "=").replace("\4", "|")
    return (_SAVED.sub(lambda found: saved[int(found[1])], text) if saved else text).strip()


def _spaced(text: str) -> str:
    """Blanks as a reader expects them, single, and no empty parentheses."""
    if "&" in text:
        for entity, character in _COMMON_ENTITIES.items():
            text = text.replace(entity, character)
    text = text.replace("\u00a0", " ").replace("\t", " ")
    for pattern in _EMPTY_PARENTHESES:
        if pattern.search(text):
            text = pattern.sub("\0", text).replace(" \0", "").replace("\0", "")
    return _SPACES.sub(" ", _PARENTHESIS_START.sub("(", text)).replace(",)", ")")


def _script(found: re.Match[str]) -> str:
    return raised(found[2]) if found[1] in "pP" else lowered(found[2])


def _switch(found: re.Match[str]) -> str:
    """`__NOTOC__`, in any language: letters without small ones; `__init__` is none."""
    return "" if found[1] == found[1].upper() else found[0]


def _lines(text: str) -> list[str]:
    """The lines without list and heading marks; headings with nothing below them are dropped."""
    kept: list[str] = []
    headings: list[tuple[int, str]] = []
    for raw in text.split("\n"):
        line = raw.strip(" ")
        if line and line[0] in _SPECIAL:
            if line[0] == "=" and (heading := _HEADING.fullmatch(line)):
                level = len(heading[1])
                while headings and headings[-1][0] >= level:
                    headings.pop()
                headings.append((level, heading[2].strip()))
                continue
            marked = _marked(line)
            if marked is None:
                continue
            line = marked
        if line and headings:
            for _, heading_text in headings:
                kept += ["", heading_text, ""]
            headings.clear()
        kept.append(line)
    return kept


def _marked(line: str) -> str | None:
    """A line that begins with a mark, without it; None drops it."""
    if line.startswith("----"):
        line = line.lstrip("-").strip()
    if marks := _LIST.match(line):
        rest = line[marks.end() :].strip()
        if not rest:
            return None
        bullet = "- " if marks[1][-1] in "*#" else ""
        return "  " * (len(marks[1]) - 1) * bool(bullet) + bullet + rest
    if line.startswith(("|", "!", "{|")):  # what a broken table leaves
        return None
    return line


def _elements(text: str, saved: list[str]) -> str:
    """Drop comments and elements like `<ref>...</ref>`, and put what is no wikitext into `saved`, a mark in its place.

    An element ends with its first closing tag, as in MediaWiki; one that is never closed loses its tag alone.
    """
    if "<" not in text:
        return text
    edges = list(_ELEMENT.finditer(text))
    names = [(edge[2] or "").lower() for edge in edges]
    closings: dict[str, list[int]] = {}
    for number in range(len(edges) - 1, -1, -1):
        if edges[number][1]:
            closings.setdefault(names[number], []).append(number)  # the next one is the last
    pieces: list[str] = []
    end = number = 0
    while number < len(edges):
        edge, name = edges[number], names[number]
        number += 1
        if edge.start() < end:  # inside of a comment
            continue
        _append(pieces, text[end : edge.start()])
        end = edge.end()
        if not name:
            closed = text.find("-->", end)
            end = closed + 3 if closed >= 0 else len(text)
            continue
        if edge[1] or edge[3].endswith("/"):
            continue
        ahead = closings.get(name, [])
        while ahead and ahead[-1] < number:
            ahead.pop()
        if not ahead:
            continue
        closing = edges[ahead[-1]]
        if name in _LITERAL_NAMES:
            said = _literal(name, edge[3], text[end : closing.start()])
            if said is None:
                continue
            if said:
                if said[0] == "$" and pieces and pieces[-1].endswith("\2"):
                    pieces.append(" ")  # between two formulas, lest they read as `$$`
                block = "\n" if said.startswith("\n") else ""
                pieces.append(f"{block}\1{len(saved)}\2{block}")
                saved.append(said.strip("\n") if block else said)
        end = closing.end()
        number = ahead[-1] + 1
    _append(pieces, text[end:])
    return "".join(pieces)


def _append(pieces: list[str], text: str) -> None:
    """Put text behind an element; where that was dropped, the blank before it goes if it would stand before a comma."""
    if text:
        if pieces and text[0] in _CLOSING_MARKS and pieces[-1].endswith(" "):
            pieces[-1] = pieces[-1][:-1]
        pieces.append(text)


def _literal(name: str, attributes: str, inside: str) -> str | None:
    """What an element says that is no wikitext; a block begins with a line break. None if it is wikitext after all."""
    if name == "math":
        formula = inside.strip()
        if not formula:
            return ""
        return f"\n$${formula}$$" if _STANDS_ALONE.search(attributes) else f"${formula}$"
    if name in ("chem", "ce"):
        return f"$\\ce{{{inside.strip()}}}$" if inside.strip() else ""
    if name == "nowiki":
        return unescape(inside)
    if name == "code":  # MediaWiki reads it as wikitext; what cannot be any stays as it is
        if "\n" not in inside and ("[[" in inside or "{{" in inside or "<" in inside):
            return None
        return unescape(_QUOTES.sub("", _NOWIKI.sub("", inside)))
    if name == "pre":
        inside = unescape(_NOWIKI.sub("", inside))
    elif _INLINE.search(attributes):
        return inside.strip()
    inside = inside.strip("\n").rstrip()
    return f"\n{inside}" if inside.strip() else ""


def _templates_and_links(text: str, dropped: frozenset[str], own: Mapping[str, Meaning]) -> str:
    """Replace links by their labels and templates by what they say; tables are dropped.

    What is not nested goes by regular expressions, in a few rounds; the rest, and what is not closed, one by one.
    """

    def template(found: re.Match[str]) -> str:
        body = found[1]
        if "[[" in body or "]]" in body:  # a link whose bars are not the template's
            return found[0]
        said = text_of(body, own)
        if said:
            return said
        at = found.end()
        return "\0" if text[at : at + 1] in _CLOSING_MARKS else ""

    def link(found: re.Match[str]) -> str:
        return _label(found[1], dropped)

    if "-{" in text:
        text = _VARIANT.sub(_variant, text)
    for _ in range(5):
        before = len(text)
        if "[[" in text:
            text = _LINK.sub(link, "".join(_PLAIN_LINK.split(text)))
        if "{{" in text:
            text = _TEMPLATE.sub(template, text).replace(", \0,", ",").replace(" \0", "").replace("\0", "")
        if len(text) == before or not ("{{" in text or "[[" in text):
            break
    if "{{" in text or "[[" in text or "{|" in text or "}}" in text or "]]" in text:
        text = _nested(text, dropped, own)
    return text


def _variant(found: re.Match[str]) -> str:
    """`-{zh-hans:a; zh-hant:b}-`, as in Chinese and Serbian: the first; nothing where it only sets a rule."""
    return "" if found[1] and not {"H", "T", "-"}.isdisjoint(found[1]) else found[2]


def _nested(text: str, dropped: frozenset[str], own: Mapping[str, Meaning]) -> str:
    """Links, templates and tables, nested as they may be; what is never closed stays, without its mark."""
    stack: list[tuple[str, list[str]]] = [("", [])]  # (mark that opened, text pieces since)
    too_deep = end = 0
    for found in _MARKS.finditer(text):
        mark = found[0]
        if "|" in mark and not _starts_line(text, found.start()):
            continue
        stack[-1][1].append(text[end : found.start()])
        end = found.end()
        if mark[0] in "{[":
            if len(stack) > DEPTH:
                too_deep += 1
                continue
            if len(mark) < 4:
                stack.append((mark, []))
            else:  # `{{{{x}}}}`
                stack += [("{{", []) for _ in range(min(len(mark) // 2, DEPTH))]
        elif too_deep:
            too_deep -= 1
        else:
            _close(stack, mark, dropped, own)
    stack[-1][1].append(text[end:])
    return "".join(piece for _, pieces in stack for piece in pieces)


def _starts_line(text: str, at: int) -> bool:
    """Whether only blanks and list marks, and not many of them, stand before this place in its line."""
    before = text[max(0, at - 40) : at].rpartition("\n")
    return not before[2].strip(" \t:*#;") and (bool(before[1]) or at < 40)


def _close(stack: list[tuple[str, list[str]]], mark: str, dropped: frozenset[str], own: Mapping[str, Meaning]) -> None:
    """Close the innermost part that `mark` can close; what is open inside of it is not closed, and becomes text."""
    opening = {"]]": "[[", "|}": "{|"}.get(mark, "{{")
    left = len(mark)
    while left >= 2 and len(stack) > 1:
        at = len(stack) - 1
        while at and not stack[at][0].startswith(opening):
            if stack[at][0] == "{|" or (opening == "[[" and stack[at][0].startswith("{{")):
                return  # no mark inside of a table closes what is around it
            at -= 1
        if not at:
            return
        inside = "".join(piece for _, pieces in stack[at:] for piece in pieces)
        opened = stack[at][0]
        del stack[at:]
        left -= len(opened)
        if opening == "[[":
            stack[-1][1].append(_label(inside, dropped))
        elif opened == "{{":
            stack[-1][1].append(text_of(inside, own))


def _label(inner: str, dropped: frozenset[str]) -> str:
    """What the link `[[inner]]` says."""
    target, bar, label = inner.replace("\4", "|").partition("|")
    namespace, colon, rest = target.partition(":")
    if colon:
        if key_of(namespace) in dropped:
            return ""
        if not bar and _LANGUAGE_LINK.fullmatch(namespace) and namespace not in _NO_LANGUAGE and rest[:1] != " ":
            return ""  # a link to the same article in another language
    if not bar:
        return target.lstrip(":").strip()
    return label or _DISAMBIGUATION.sub("", (rest if colon else target).strip())
