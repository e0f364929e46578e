"""How many pages in legacy encodings are decoded right, under true names, false ones and none.

    python -m tests.benchmarks.bench_decoding ../shared/data/langid/udhr2.zip

The texts are the declarations of human rights of https://unicode.org/udhr, cut to 1, 5 and 40 lines, put into the
encodings that pages of their languages had, and into a page that says one of eight things of itself.
"""

import argparse
import time
import zipfile
from collections import Counter
from pathlib import Path

from corpuskit.sources.decoding import decode_page

ENCODINGS = {
    "rus": ("cp1251", "koi8-r", "iso8859-5", "cp866"), "ukr": ("cp1251", "koi8-u"), "bul": ("cp1251",),
    "jpn": ("shift_jis", "euc-jp", "iso2022_jp"), "cmn_hans": ("gb18030",), "cmn_hant": ("big5",), "kor": ("euc-kr",),
    "ell_monotonic": ("cp1253", "iso8859-7"), "heb": ("cp1255", "iso8859-8"), "arb": ("cp1256",), "tha": ("cp874",),
    "pol": ("cp1250", "iso8859-2"), "ces": ("cp1250", "iso8859-2"), "hun": ("cp1250", "iso8859-2"), "tur": ("cp1254",),
    "fra": ("cp1252",), "spa": ("cp1252",), "dan": ("cp1252",), "vie": ("cp1258",), "lit": ("cp1257",),
    "est": ("cp1257", "cp1252"),
}  # fmt: skip
SAID = (None, "true", "utf-8", "iso-8859-1", "windows-1250", "windows-1251", "shift_jis", "gb2312")
PLAIN = str.maketrans({"\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u00a0": " "})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    archive = zipfile.ZipFile(parser.parse_args().texts)
    right: Counter[str | None] = Counter()
    pages: Counter[str | None] = Counter()
    start = time.process_time()
    for language, encodings in ENCODINGS.items():
        text = archive.read(f"udhr2/{language}.txt").decode().translate(PLAIN)
        lines = [line for line in text.split("\n") if len(line) > 40]
        for encoding in encodings:
            for count in (1, 5, 40):
                for first in (3, 13, 23):
                    body = "\n".join(lines[first : first + count]).encode(encoding, "ignore")
                    if body.isascii() and encoding != "iso2022_jp":
                        continue
                    for said in SAID:
                        name = encoding if said == "true" else said
                        head = f'<html><head><meta charset="{name}"></head><body><p>' if name else "<html><body><p>"
                        pages[said] += 1
                        right[said] += body.decode(encoding) in decode_page(
                            head.encode() + body + b"</p></body></html>"
                        )
    for said, count in pages.items():
        print(f"{said or 'nothing':14}{right[said]:5} of {count}")
    each = 1000 * (time.process_time() - start) / pages.total()
    print(f"{'all':14}{right.total():5} of {pages.total()}, {each:.1f} ms each")


if __name__ == "__main__":
    main()
