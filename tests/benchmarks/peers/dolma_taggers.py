"""What Dolma's taggers say of texts, decided by the rules of its published configurations: an environment of its own.

python dolma_taggers.py web|code < TEXTS > DECISIONS

TEXTS is JSON Lines of strings; so is DECISIONS, `[rule or null, text as it is left]`. The rules of `web` are those of
`configs/dolma-v1_6/mixing/cc-head.yaml` (which looks for `most_common_2gram`, where the tagger writes
`most_common_2grams`: taken as meant), on the text without the lines that `c4_v1` marks as without ending punctuation;
those of `code` RedPajama's, with Dolma's tagger of its name.
"""

import json
import sys

from dolma.core.data_types import Document
from dolma.core.registry import TaggerRegistry

WEB = [
    ("word_count", "<", 50),
    ("word_count", ">", 100_000),
    ("median_word_length", "<", 3),
    ("median_word_length", ">", 10),
    ("symbol_to_word_ratio", ">", 0.1),
    ("fraction_of_words_with_alpha_character", "<", 0.8),
    ("required_word_count", "<", 2),
    ("fraction_of_lines_starting_with_bullet_point", ">", 0.9),
    ("fraction_of_lines_ending_with_ellipsis", ">", 0.3),
    ("fraction_of_duplicate_lines", ">", 0.3),
    ("fraction_of_characters_in_duplicate_lines", ">", 0.3),
    *(
        (f"fraction_of_characters_in_most_common_{n}grams", ">", limit)
        for n, limit in zip((2, 3, 4), (0.2, 0.18, 0.16), strict=True)
    ),
    *(
        (f"fraction_of_characters_in_duplicate_{n}grams", ">", limit)
        for n, limit in zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.1), strict=True)
    ),
]
CODE = [
    ("max_line_length_doc", ">", 1000),
    ("avg_line_length_doc", ">", 100),
    ("alnum_prop_doc", "<", 0.25),
    ("alpha_token_prop_doc", "<", 1.5),
]


def broken(tagger, rules, text: str) -> str | None:
    """The first rule that a text breaks."""
    said = {span.type: span.score for span in tagger.predict(Document(source="", id="", text=text)).spans}
    for name, sign, limit in rules:
        if name in said and (said[name] < limit if sign == "<" else said[name] > limit):
            return f"{name} {sign} {limit}"
    return None


def marked(tagger, text: str) -> str:
    """The text without the lines that C4's tagger marks for their end."""
    spans = tagger.predict(Document(source="", id="", text=text)).spans
    for span in sorted(spans, key=lambda span: -span.start):
        if span.type == "lines_with_no_ending_punctuation":
            text = text[: span.start] + text[span.end :]
    return text


def main() -> None:
    kind = sys.argv[1]
    tagger = TaggerRegistry.get("gopher_v1" if kind == "web" else "code_redpajama_taggers_v1")()
    lines = TaggerRegistry.get("c4_v1")()
    for line in sys.stdin:
        text = json.loads(line)
        if kind == "web":
            text = marked(lines, text)
        why = broken(tagger, WEB if kind == "web" else CODE, text) if text else "empty"
        print(json.dumps([why, text]))


if __name__ == "__main__":
    main()
