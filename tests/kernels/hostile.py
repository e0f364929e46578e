"""Hypothesis strategies of texts that break careless kernels."""

from hypothesis import strategies as st

PIECES = [
    " ", "  ", "\t\n", "\x1c\x1d\x1e\x1f", "\x85", "\xa0",
    "\u2028", "\u3000", "\x00", "\x7f", "_", "'", ".", "-!?", "…",
    "Σ", "ΟΣ", "ωΣ.", "Σ'ω", "ω\u0345Σ", "ωΣ\u0301", "\u00adΣ", "İ", "Ⱥ", "\u212a",
    "ẞ", "ǅ", "ﬁ", "Ω", "\u0307", "\u0130\u0130",
    "日本語", "ไทย", "हिन्दी", "العربية", "Привет", "ÀÉ", "😀", "\U00010400", "\uffff", "\U0010ffff", "١٢", "²", "Ⅷ",
    "a", "B", "zZ", "word", "The", "0", "x" * 63, "y " * 40, ", " * 33, "don't",
]  # fmt: skip

texts = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=" .,\t\naB-_'", max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
)
