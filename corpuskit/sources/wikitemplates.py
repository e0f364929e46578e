"""What a template of Wikipedia says in the sentence around it, for those that say something; all others say nothing.

Names are those of the English Wikipedia, which most others share, and the most frequent local ones: chosen by how often
they stand inside of sentences. A user's own entries come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from corpuskit.sources.wikitemplate_texts import (
    Arguments,
    as_of,
    circa,
    convert,
    date,
    date_uk,
    formula,
    fraction,
    last,
    lowered,
    nihongo,
    numeric_date,
    old_style,
    positional,
    raised,
    ship,
    value,
)

Spec = int | str
"""The number of the argument that is the text, or a text with `{1}`, `{name}`, and `{2|1}` for the first not empty."""
Meaning = Spec | Callable[[Arguments], str]

_PLACE = re.compile(r"\{([^{}]*)\}")
_NAMED = re.compile(r"\s*([\w .\-]{1,40}?)\s*=")
_FUNCTION = re.compile(r"(formatnum|lc|uc|lcfirst|ucfirst):(.*)", re.DOTALL | re.IGNORECASE)
_LANGUAGE = re.compile(r"lang-[\w\-]+")


def text_of(body: str, own: Mapping[str, Meaning]) -> str:
    """What `{{body}}` says.

    Args:
        body: between the braces; links in it are labels already.
        own: the user's templates, names as `key_of` gives them; they come before the built-in ones.
    """
    name, bar, rest = body.partition("|")
    key = key_of(name)
    said = own.get(key)
    if said is None:
        said = TEXT_TEMPLATES.get(key)
    if said is None:
        if _LANGUAGE.fullmatch(key):
            said = 2 if "*" in key else 1
        elif (found := _FUNCTION.match(name.strip())) is not None:
            return found[2].strip()
        else:
            return ""
    arguments = _arguments(rest) if bar else {}
    if callable(said):
        return said(arguments)
    if isinstance(said, int):
        return arguments.get(str(said), "")
    return _PLACE.sub(lambda place: _first(arguments, place[1]), said)


def key_of(name: str) -> str:
    """A template's name as it is looked up: `_` is a blank, capitals do not count."""
    return name.strip().lower().replace("_", " ")


def _arguments(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    number = 0
    for piece in rest.split("|"):
        if (named := _NAMED.match(piece)) is not None:
            found[named[1]] = piece[named.end() :].strip()
        else:
            number += 1
            found[str(number)] = piece.strip()
    return found


def _first(arguments: Arguments, names: str) -> str:
    return next((arguments[name] for name in names.split("|") if arguments.get(name)), "")


_FIRST = """
nowrap|nobr|nowr|j|small|smaller|smallsup|big|bigger|large|larger|huge|abbr|tooltip|hover title|linktext|math|mvar|var
em|strong|bold|italic|ital|underline|strikethrough|smallcaps|sc|sc2|smcaps|caps|allcaps|script/arabic|script/hebrew
ordinal|num|nts|number|ntsh|unicode|iast|polytonic|nastaliq|nihongo2|nihongo foot|mono|code|samp|kbd|tt|key|keypress|pre
noflag|flag|flagu|flagcountry|flagc|flag+link|country|s|comment
cquote|quote|quotation|blockquote|bq|quote box|centered pull quote|rquote|poem|poemquote|poem quote|verse translation
citation needed span|cns|fact span|inline-block|bracket|br0.2em|color box text|sic|typo|visible anchor|vanchor
block indent|center|left|right|pull quote
not a typo|proper name|chem name|ipa2|ipalink|ipablink|ipa link|isbnt|nobold|noitalic|nobold|noitalics|normal|resize
asiantitle|ruby-ja-base|gaps|font color text
en|fr|de|es|it|la|pt|ru|el|zh|ko|ar|sv|nl|pl|uk|grc|sa|he|fa|tr
要出典|仮リンク|要出典範囲|要検証範囲|要説明範囲|いつ範囲|誰範囲|jis2004フォント|jis90フォント|下げ核|補助漢字フォント|拡張漢字|国旗|引用
ছোট|পতাকা|উদ্ধৃতি|বড়|দেশের পতাকা|প্রতিবর্ণীকরণ
цитата|прапор|прапор країни|країна|не переносити|мала|велика|малий|великий|нобр|ноб|цитата2|флаг|флагификация
"""
_SECOND = """
lang|langx|langi|lang2|langnf|script|rtl-lang|color|colour|font color|fontcolor|legend|legend inline|легенда
colored text
audio|audio-nohelp|অডিও|аудіо|аудио|wikt-lang|highlight round|bg|background color|lang-*-latn|текст кольором
colored link|color text|script2|ভাষা
"""
_TEXTS: dict[str, Spec] = {
    "'": "'",
    "' \"": "'\u2009\"",
    "\" '": "\"\u2009'",
    "''": "''",
    "'s": "'s",
    "!": "\4",
    "=": "\3",
    "(": "{",
    ")": "}",
    "•": " • ",
    "·": " · ",
    "dot": " · ",
    "bull": " • ",
    "•w": " • ",
    "nbsp": " ",
    "nbs": " ",
    "space": " ",
    "spaces": " ",
    "thinsp": " ",
    "hairsp": " ",
    "snd": " – ",
    "spnd": " – ",
    "sndash": " – ",
    "spaced ndash": " – ",
    "spaced en dash": " – ",
    "ndash": "–",
    "en dash": "–",
    "nsndns": "–",
    "mdash": "—",
    "em dash": "—",
    "mdashb": "—",
    "spaced mdash": " — ",
    "spaced em dash": " — ",
    "pi": "π",
    "পাই": "π",
    "градус цельсія": "°C",
    "°c": "°C",
    "к.": "К.",
    "м.": "М.",
    "л.": "Л.",
    "х.": "Х.",
    "льв.": "Льв.",
    "спб.": "СПб.",
    "transl": "{3|2|1}",
    "transliteration": "{3|2|1}",
    "не перекладено": "{2|1}",
    "нп": "{2|1}",
    "нп2": "{2|1}",
    "нп3": "{2|1}",
    "нп5": "{2|1}",
    "iw": "{2|1}",
    "iw2": "{2|1}",
    "не переведено": "{2|1}",
    "не переведено 5": "{2|1}",
    "url": "{2|1}",
    "official website": "",
    "仮リンク": "{label|1}",
    "ill2": "{label|1}",
    "ill": "{lt|1}",
    "interlanguage link": "{lt|1}",
    "読み仮名": "{1}（{2}）",
    "ruby": "{1} ({2})",
    "ruby-ja": "{1}（{2}）",
    "ilq": "“{1}”",
    "inline quote": "“{1}”",
    "angbr": "⟨{1}⟩",
    "vr": "⟨{1}⟩",
    "angle bracket": "⟨{1}⟩",
    "sclass": "{1}-class {2}",
    "sclass2": "{1}-class {2}",
    "isbn": "ISBN {1}",
    "isbn2": "ISBN {1}",
    "আইএসবিএন": "আইএসবিএন {1}",
    "issn": "ISSN {1}",
    "quote": "{1|text|quote}",
    "blockquote": "{1|text|quote}",
    "cquote": "{1|text|quote}",
    "quotation": "{1|text|quote}",
    "quote box": "{1|quote|text}",
    "rquote": "{2}",
    "poemquote": "{1|text}",
    "poem quote": "{1|text}",
    "цитата": "{1|текст}",
    "উদ্ধৃতি": "{1|text|উক্তি}",
    "আনুমানিক": "আনু. {1}",
    "interlang": "{3|2}",
    "nuclide2": "{1}-{2}",
    "nuclide": "{1}-{2}",
}
_MADE: dict[str, Callable[[Arguments], str]] = {
    "ipa": last,
    "আধ্বব": last,
    "sup": lambda arguments: raised(arguments.get("1", "")),
    "sub": lambda arguments: lowered(arguments.get("1", "")),
    "e": lambda arguments: f"×10{raised(arguments.get('1', ''))}",
    "nihongo": nihongo,
    "date": date,
    "birth date": date,
    "birth date and age": date,
    "birth-date": date,
    "death date": date,
    "start date": date,
    "start date and age": date,
    "end date": date,
    "dts": date,
    "film date": date,
    "дата": lambda arguments: date_uk(dict(zip("321", positional(arguments), strict=False))),
    "дн": date_uk,
    "дн2": date_uk,
    "дс": date_uk,
    "дс2": date_uk,
    "oldstyledate": old_style,
    "as of": as_of,
    "asof": as_of,
    "circa": circa,
    "c.": circa,
    "ca.": circa,
    "columns-list": last,
    "ship": ship(""),
    "val": value,
}
TEXT_TEMPLATES: dict[str, Meaning] = {
    **{name: 1 for name in _FIRST.replace("\n", "|").split("|") if name},
    **{name: 2 for name in _SECOND.replace("\n", "|").split("|") if name},
    **_TEXTS,
    **_MADE,
    **dict.fromkeys(("convert", "cvt", "रूपांतर", "রূপান্তর", "перетворити", "convertnote"), convert),
    **dict.fromkeys(("frac", "sfrac", "fraction", "дріб", "дроб"), fraction),
    **dict.fromkeys(("chem", "chem2", "хім"), formula),
    **{
        name.lower(): ship(name)
        for name in [
            "USS",
            "HMS",
            "HMCS",
            "HMAS",
            "HMNZS",
            "SS",
            "MV",
            "MS",
            "RMS",
            "SMS",
            "USNS",
            "USCGC",
            "RFA",
            "GTS",
            "MT",
        ]
    },
}
_ENGLISH_WORDS = [name for name, said in TEXT_TEMPLATES.items() if said in (date, as_of)]


def said_in(language: str | None, templates: Mapping[str, Spec]) -> dict[str, Meaning]:
    """The templates of a Wikipedia in this language that say something else than `TEXT_TEMPLATES`, and the user's own.

    What would be said with English words is elsewhere said without: a date as `1912-07-17`.
    """
    own: dict[str, Meaning] = {}
    if language not in (None, "en", "simple"):
        own = dict.fromkeys(_ENGLISH_WORDS, numeric_date)
    return own | {key_of(name): said for name, said in templates.items()}
