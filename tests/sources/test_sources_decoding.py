# ruff: noqa: E501, RUF001
"""Texts in the encodings that files have, under true names, false ones and none."""

import pytest

from corpuskit.sources.decoding import decode, decode_page

TEXTS = {
    "ru": "Утром мы вышли из дома и пошли к реке, где уже собрались дети с собаками.\nВода была холодной, но никто",
    "ja": "朝早く家を出て、川のほとりまで歩きました。子どもたちはもう集まっていて、犬と一緒に走り回っていました。水はとても冷たかったです。",
    "zh": "早上我们离开家，沿着河边走了很久。孩子们已经在那里，和小狗一起跑来跑去。水很冷，可是没有人想回去。",
    "zht": "早上我們離開家，沿著河邊走了很久。孩子們已經在那裡，和小狗一起跑來跑去。水很冷，可是沒有人想回去。",
    "ko": "아침에 우리는 집을 나와 강가를 따라 오래 걸었다. 아이들은 벌써 거기에 모여 개와 함께 뛰어다니고 있었다. 물은 차가웠다.",
    "el": "Το πρωί φύγαμε από το σπίτι και περπατήσαμε ως το ποτάμι, όπου τα παιδιά έπαιζαν ήδη με τα σκυλιά τους.",
    "he": "בבוקר יצאנו מהבית והלכנו לאורך הנהר, ושם כבר שיחקו הילדים עם הכלבים שלהם. המים היו קרים מאוד אבל איש לא רצה לחזור",
    "ar": "في الصباح خرجنا من البيت ومشينا على طول النهر، وكان الأطفال هناك يلعبون مع كلابهم. كان الماء باردا جدا",
    "th": "ตอนเช้าเราออกจากบ้านและเดินไปตามแม่น้ำ เด็กๆอยู่ที่นั่นแล้วและวิ่งเล่นกับสุนัขของพวกเขา น้ำเย็นมากแต่ไม่มีใครอยากกลับบ้าน",
    "pl": "Rano wyszliśmy z domu i poszliśmy nad rzekę, gdzie dzieci bawiły się już z psami. Woda była bardzo zimna, ale "
    "nikt nie chciał wracać, więc zostaliśmy aż do zmierzchu, kiedy zaczął padać śnieg i zrobiło się całkiem ciemno.",
    "tr": "Sabah evden çıktık ve ırmağa kadar yürüdük; çocuklar köpekleriyle çoktan oynamaya başlamıştı. Su çok soğuktu, "
    "ama hiç kimse dönmek istemiyordu, bu yüzden kar yağana ve hava iyice kararana değin orada kaldık.",
    "fr": "Le matin, nous avons quitté la maison et marché jusqu'à la rivière, où les enfants jouaient déjà avec leurs "
    "chiens. L'eau était très froide, mais personne ne désirait rentrer ; nous sommes restés là jusqu'à la tombée de la "
    "nuit, quand la neige a commencé à tomber. Près du feu, la grand-mère a raconté une très vieille légende oubliée.",
}
ENCODINGS = [
    ("ru", "cp1251"), ("ru", "koi8-r"), ("ru", "iso8859-5"), ("ru", "cp866"), ("ja", "shift_jis"), ("ja", "euc-jp"),
    ("ja", "iso2022_jp"), ("zh", "gb18030"), ("zht", "big5"), ("ko", "euc-kr"), ("el", "cp1253"), ("el", "iso8859-7"),
    ("he", "cp1255"), ("ar", "cp1256"), ("th", "cp874"), ("pl", "cp1250"), ("pl", "iso8859-2"), ("tr", "cp1254"),
    ("fr", "cp1252"),
]  # fmt: skip


def page(text: str, encoding: str, said: str | None) -> bytes:
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={said}">' if said else ""
    return f"<html><head>{meta}<title>x</title></head><body><p>{text}</p></body></html>".encode(encoding)


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
@pytest.mark.parametrize("said", [None, "true", "utf-8", "iso-8859-1", "windows-1251", "shift_jis", "none"])
def test_what_a_page_says_of_its_encoding_is_weighed(language: str, encoding: str, said: str | None) -> None:
    text = TEXTS[language] * 2
    content = page(text, encoding, encoding if said == "true" else said)
    assert text in decode_page(content)
    assert text in decode_page(content, said if said != "true" else encoding)


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("said", [None, "utf-8", "iso-8859-1"])
def test_one_bad_byte_costs_one_letter(language: str, said: str | None) -> None:
    content = page(TEXTS[language], "utf-8", said)
    whole = decode_page(content)
    for at in range(content.index(b"<p>") + 3, len(content) - 20, 17):
        found = decode_page(content[:at] + b"\xe9" + content[at:])
        assert found.count("\ufffd") <= 3
        assert len(found) <= len(whole) + 3
        kept = sum(one == two for one, two in zip(whole, found, strict=False))
        kept += sum(one == two for one, two in zip(whole[::-1], found[::-1], strict=False))
        assert kept >= len(whole) - 1


def test_a_few_letters_are_read_as_the_file_says_and_else_as_windows_1252() -> None:
    assert decode(b"na\xefve caf\xe9, \x93quoted\x94") == "naïve café, “quoted”"
    assert decode(b"in Ko\xb9ice", "iso-8859-2") == "in Košice"
    assert decode("ünïcode".encode("utf-16")) == "ünïcode"
    assert decode("plain text in two bytes".encode("utf-16-le")) == "plain text in two bytes"
    assert decode("plain text in two bytes".encode("utf-16-be")) == "plain text in two bytes"
    assert decode(b"\xef\xbb\xbfmarked") == "marked"
    assert decode(b"") == ""
    assert decode(b"\xff\xfe") == ""


def test_any_bytes_are_some_text() -> None:
    for first in range(256):
        for more in (b"", b"\x80" * 50, bytes(range(256))):
            assert isinstance(decode(bytes([first]) + more, "no-such-encoding", "base64", "utf-7"), str)


def test_a_long_page_of_one_line_is_decoded_in_time_that_its_length_says() -> None:
    assert len(decode("é".encode("latin-1") * 3_000_000)) == 3_000_000


@pytest.mark.parametrize(
    "words",
    [
        "señor",
        "così",
        "più, però",
        "João",
        "Sæson og æble",
        "français",
        "Það við þú",
        "MÜNCHEN ÄÖÜ",
        "5½ cups",
        "Garçon!",
    ],
)
def test_a_few_accents_in_a_file_that_says_nothing_are_western(words: str) -> None:
    text = f"# written by a person, with\nx = 1  # {words}\nreturn x\n"
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("text", "encoding"), [("Привет", "cp1251"), ("Καλημέρα", "cp1253"), ("初始化变量，并返回结果", "gbk")]
)
def test_a_few_letters_of_another_script_are_told(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_replacements_that_another_tool_made_do_not_speak_against_utf_8() -> None:
    assert decode("\ufffd\ufffd\ufffd déjà vu".encode() + b"\xc3") == "\ufffd\ufffd\ufffd déjà vu\ufffd"
