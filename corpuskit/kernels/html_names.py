"""What is known of the elements of HTML by their names, and by the words in their classes, ids and roles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

# -- names of elements ---------------------------------------------------------------------------------------------

INLINE, BLOCK, SKIPPED, RAW, VOID, BREAK, LINK = range(7)
"""What an element does: nothing; divides; hides what is in it; holds text that is no markup; has no end; ends a line;
is a link."""

P, LI, TD, DIV, H1, H2, DT, PRE, CAPTION, QUOTE, TR, TABLE, LIST = range(1, 14)
ARTICLE, MAIN, NAV, ASIDE, FOOTER, HEADER, FORM = range(14, 21)
FIGURE, SECTION, BODY, DD, ROWS, OTHER, NUMBERED = range(21, 28)

_ELEMENTS: dict[str, tuple[int, int]] = {
    "p": (BLOCK, P), "li": (BLOCK, LI), "td": (BLOCK, TD), "th": (BLOCK, TD), "div": (BLOCK, DIV), "h1": (BLOCK, H1),
    "h2": (BLOCK, H2), "h3": (BLOCK, H2), "h4": (BLOCK, H2), "h5": (BLOCK, H2), "h6": (BLOCK, H2), "dt": (BLOCK, DT),
    "dd": (BLOCK, DD), "pre": (BLOCK, PRE), "listing": (BLOCK, PRE), "figcaption": (BLOCK, CAPTION),
    "caption": (BLOCK, CAPTION), "blockquote": (BLOCK, QUOTE), "tr": (BLOCK, TR), "table": (BLOCK, TABLE),
    "ul": (BLOCK, LIST), "ol": (BLOCK, NUMBERED), "dl": (BLOCK, LIST), "menu": (BLOCK, NAV),
    "article": (BLOCK, ARTICLE),
    "main": (BLOCK, MAIN), "nav": (BLOCK, NAV), "aside": (BLOCK, ASIDE), "footer": (BLOCK, FOOTER),
    "header": (BLOCK, HEADER), "form": (BLOCK, FORM), "figure": (BLOCK, FIGURE), "section": (BLOCK, SECTION),
    "body": (BLOCK, BODY), "tbody": (BLOCK, ROWS), "thead": (BLOCK, ROWS), "tfoot": (BLOCK, ROWS),
    "fieldset": (BLOCK, FORM), "address": (BLOCK, OTHER), "center": (BLOCK, DIV), "details": (BLOCK, SECTION),
    "summary": (BLOCK, H2), "hgroup": (BLOCK, HEADER), "legend": (BLOCK, H2), "dir": (BLOCK, LIST),
    "head": (SKIPPED, 0), "noframes": (SKIPPED, 1), "audio": (SKIPPED, 2), "video": (SKIPPED, 3),
    "canvas": (SKIPPED, 4), "select": (SKIPPED, 5), "button": (SKIPPED, 6), "datalist": (SKIPPED, 7),
    "noscript": (SKIPPED, 8), "map": (SKIPPED, 9), "rp": (SKIPPED, 10), "rt": (SKIPPED, 11), "svg": (SKIPPED, 16),
    "object": (SKIPPED, 17), "template": (SKIPPED, 18), "applet": (SKIPPED, 19), "dialog": (SKIPPED, 20),
    "script": (RAW, 1), "style": (RAW, 2), "textarea": (RAW, 3), "title": (RAW, 4), "iframe": (RAW, 5), "xmp": (RAW, 6),
    "noembed": (RAW, 7), "br": (BREAK, 0), "hr": (BREAK, 1), "a": (LINK, 0),
    "img": (VOID, 0), "input": (VOID, 0), "meta": (VOID, 0), "link": (VOID, 0), "embed": (VOID, 0), "wbr": (VOID, 0),
    "source": (VOID, 0), "track": (VOID, 0), "col": (VOID, 0), "area": (VOID, 0), "base": (VOID, 0), "param": (VOID, 0),
}  # fmt: skip

# -- words in class, id and role -----------------------------------------------------------------------------------

_WORDS = {
    "comment": (
        "comment* kommentar* comentari* commentaire* respond* disqus* repl* discuss* pingback* trackback* "
        "livefyre* reviews reactions thread"
    ),
    "nav": (
        "nav* menu* bread* crumb* paginat* pager* paging* skip* sitemap* toolbar* topbar* prev previous next "
        "jump* tabs navigation* directory dropdown* hamburger*"
    ),
    "foot": "foot* colophon* copyright* impressum* imprint* legal* disclaimer* bottom* credits license*",
    "side": (
        "side* aside* widget* rail* secondary blogroll* archive* calendar* cloud* column complementary right "
        "left"
    ),
    "share": (
        "shar* social* addthis* facebook* twitter* tweet* pinterest* whatsapp* flattr* addtoany* sociable* "
        "bookmark* follow* like likes rss feed feeds fb instagram* youtube* xing* linkedin* print* email mail"
    ),
    "related": (
        "relat* recommend* similar* tease* promo* popular* trending* outbrain* taboola* mostread* readmore* "
        "also recent* latest* more top list* cards card suggest* zergnet* verwandt* relacionad*"
    ),
    "ad": (
        "ad ads advert* sponsor* banner* werbung* anzeige* publi* adsense* dfp* adslot* adbox* promo* "
        "affiliate* shop* product* buy cta donat* spende*"
    ),
    "meta": (
        "byline* author* meta* date* time* dateline* posted* publish* timestamp* vcard* avatar* bio info* "
        "details kicker* views rating* votes* stat* user* profile* submitted* post*meta"
    ),
    "popup": (
        "cookie* consent* gdpr* privacy* popup* modal* overlay* lightbox* newsletter* subscri* signup* login* "
        "regist* paywall* toast* notice* alert* dialog* search* warning* message* error* form* captcha* "
        "premium*"
    ),
    "header": (
        "header* head masthead* logo* brand* title* headline* hero* intro* sub* lead* dek standfirst* "
        "heading*"
    ),
    "hidden": "hid* invisible* noprint* screen* visually* offscreen* sr* collapse* d none",
    "content": (
        "content* main* text* body* inhalt* texte* contenu* contenido* prose* markdown* readable* page* wrap* "
        "container* primary*"
    ),
    "post": (
        "article* post posts entry* story* hentry* blog* news* artikel* beitrag* noticia* single* node* "
        "field* rich* articlebody* storybody* answer* question* doc* wiki*"
    ),
    "tags": "tag tags tagged categor* topic* keyword* label* filed* cat cats schlagw*",
    "caption": (
        "caption* image* gallery* photo* foto* picture* media* video* slide* carousel* wp credit* embed* "
        "thumb*"
    ),
    "toc": "toc* contents index* glossar* footnote* reference* bibliograph* source* note* citation* reflist*",
    "navigation": "navigation banner contentinfo complementary search menubar tablist dialog alert",
    "code": "code* highlight* syntax* source* example* snippet* console* terminal* listing*",
}  # fmt: skip
"""What the words in the names of elements stand for; one that ends at a star may go on."""
KINDS = tuple(_WORDS)
_STRUCTURE = (ARTICLE, MAIN, NAV, ASIDE, FOOTER, HEADER, FORM, TABLE, LIST, FIGURE, QUOTE, SECTION, PRE)
FLAGS = len(KINDS) + len(_STRUCTURE)

SLOTS = 4096


def _hash(word: bytes) -> int:
    found = 1469598103934665603
    for byte in word:
        found = ((found ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return found


def _table(entries: dict[bytes, int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    keys, values = np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.int64)
    for word, value in entries.items():
        key = _hash(word)
        slot = key % SLOTS
        while keys[slot] not in (0, key):
            slot = (slot + 1) % SLOTS
        keys[slot] = key
        values[slot] |= value
    return keys, values


def _words() -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for number, words in enumerate(_WORDS.values()):
        for word in words.split():
            # a word that ends at the star may go on
            key = word[:-1].replace("*", "").encode() + b"*" if word.endswith("*") else word.replace("*", "").encode()
            found[key] = found.get(key, 0) | 1 << number
    return found


NAME_KEYS, NAME_VALUES = _table({name.encode(): kind << 8 | what for name, (kind, what) in _ELEMENTS.items()})
WORD_KEYS, WORD_VALUES = _table(_words())
STRUCTURE_FLAG = np.zeros(32, np.int64)
for _number, _what in enumerate(_STRUCTURE):
    STRUCTURE_FLAG[_what] = 1 << (len(KINDS) + _number)
STRUCTURE_FLAG[NUMBERED] = STRUCTURE_FLAG[LIST]
_RAW_NAMES = [b"", b"script", b"style", b"textarea", b"title", b"iframe", b"xmp", b"noembed"]
RAW_NAMES = np.zeros((8, 8), np.uint8)
for _number, _name in enumerate(_RAW_NAMES):
    RAW_NAMES[_number, : len(_name)] = list(_name)

PRIME, START, _STAR = np.uint64(1099511628211), np.uint64(1469598103934665603), np.uint64(ord("*"))
HEAD, RUBY, RB, RT, RP = (np.uint64(_hash(name)) for name in (b"head", b"ruby", b"rb", b"rt", b"rp"))
NESTS = 16
"""Number of a skipped element from which on it may be within one of its name; another ends the one before it."""


@njit(nogil=True, cache=True)
def is_list(what):  # type: ignore[no-untyped-def]
    """Whether an element is a list."""
    return what in (LIST, NUMBERED)


@njit(nogil=True, cache=True)
def look(keys, values, key):  # type: ignore[no-untyped-def]
    """The value of a hashed name in one of the tables; 0 if it is not there."""
    slot = np.int64(key % np.uint64(SLOTS))
    while keys[slot] != 0:
        if keys[slot] == key:
            return values[slot]
        slot = (slot + 1) % SLOTS
    return 0


@njit(nogil=True, cache=True)
def kinds_of(data, start, end):  # type: ignore[no-untyped-def]
    """Bits of `KINDS` that the words of an attribute's value stand for."""
    found = 0
    key, letters, lower = START, 0, False
    for at in range(start, end + 1):
        byte = data[at] if at < end else np.uint8(32)
        upper = 65 <= byte <= 90
        letter = upper or 97 <= byte <= 122
        if not letter or (upper and lower):
            if letters >= 1:
                found |= look(WORD_KEYS, WORD_VALUES, key)
            key, letters = START, 0
        if letter:
            key = (key ^ np.uint64(byte | 32)) * PRIME
            letters += 1
            if 2 <= letters <= 12:
                found |= look(WORD_KEYS, WORD_VALUES, (key ^ _STAR) * PRIME)
        lower = bool(letter and not upper)
    return found
