"""The presets decide as datatrove's filters do, and as Dolma's taggers where these are installed.

Texts are made ones near every border, and real ones.
"""

import os
import random

import pytest

from tests.benchmarks import agreement
from tests.benchmarks.agreement import PEERS, compare, corpora, ours

LABELS = [f"{peer.preset}-{number}" for number, peer in enumerate(PEERS)]

SENTENCES = [
    "The river is wide and the bridge is old.",
    "We went to the mountains with friends that have a house there.",
    "It was said that nobody had seen the engine move...",
    "Read more",
    "- a point of the list",
    "I use cookies when I bake; the privacy policy of the shop is long.",
    "Please enable JavaScript to see this page.",
    "Lorem ipsum dolor sit amet, it says.",
    "A set is written as {a, b}, is it not?",
    "He said: 'No citation[12] is needed[citation needed].'",
    "# # # ...",
    "12 34 56 78",
    "Ends without a mark",
]
FILLERS = ["alder", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "willow"]


def made(count=1500):
    """Texts of sentences, some of them repeated, some new, in lines and paragraphs."""
    rng = random.Random(5)
    found = []
    for _ in range(count):
        weights = [rng.random() ** 4 for _ in SENTENCES]
        fresh = rng.random()
        pieces = []
        for _ in range(rng.choice([2, 8, 30])):
            new = " ".join(rng.choices(FILLERS, k=rng.randint(3, 14))).capitalize() + rng.choice([".", "", '."', "?"])
            pieces.append(new if rng.random() < fresh else rng.choices(SENTENCES, weights)[0])
            pieces.append(rng.choice([" ", "\n", "\n\n"] if rng.random() < 0.5 else [" "]))
        text = "".join(pieces)
        found.append(text if rng.random() < 0.7 else "\n\n".join([text] * rng.randint(2, 3)))
    return found


@pytest.fixture(params=PEERS, ids=LABELS)
def peer(request):
    if request.param.needs_dolma and "DOLMA_PYTHON" not in os.environ:
        pytest.skip("DOLMA_PYTHON names no Python with Dolma's taggers")
    return request.param


def test_a_preset_decides_as_the_filter_of_its_name_on_made_texts_near_the_borders(peer):
    texts = made()
    rules = {why for why, _ in ours(peer, texts)}
    assert None in rules
    assert len(rules) >= min(4, len(set(peer.reasons.values())))
    found, differ = compare(peer, "made", texts)
    assert found.same_decision >= 0.99 * found.documents, differ[:10]
    assert found.same_text >= 0.99 * found.both_kept


def test_a_preset_decides_as_the_filter_of_its_name_on_real_texts(peer, shared, monkeypatch):
    monkeypatch.setattr(agreement, "MOST", 400_000)
    documents = same = 0
    for kind, texts in corpora(shared):
        found, differ = compare(peer, kind, texts)
        assert found.same_decision >= 0.98 * found.documents, differ[:10]  # of some hundred documents
        documents, same = documents + found.documents, same + found.same_decision
    assert same >= 0.99 * documents
