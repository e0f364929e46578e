"""Personal data and secrets are masked, what only looks like them stays, and both are counted by kind."""

import re
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.explore import evidence, stats_text
from corpuskit.explore.views import query, rebuild
from corpuskit.steps.pii import KINDS, pii
from corpuskit.store.root import Root
from tests.steps.step_runs import build, kept

TOKEN = "ghp_" + "a1B2" * 9
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\n" + "TUlJRXBBSUJBQUtDQVFFQQ\n" * 4 + "-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLW9mLWl0"

MASKED = {
    "write to jo.doe+list@mail.uni-x.de.": "write to <EMAIL>.",
    "<mailto:jo@firm.co.uk>": "<mailto:<EMAIL>>",
    "連絡先はjo@firm.jpまで": "連絡先は<EMAIL>まで",
    "from 93.184.216.34, port 80": "from <IPV4>, port 80",
    "http://8.8.8.8/x or 8.8.4.4:53": "http://<IPV4>/x or <IPV4>:53",
    "[2a00:1450:4001:81b::200e]:443": "[<IPV6>]:443",
    "call +49 (0)30 1234567 now": "call <PHONE> now",
    "tel:+1-514-555-1234.": "tel:<PHONE>.",
    "+352 26203652": "<PHONE>",
    "IBAN DE89 3704 0044 0532 0130 00, BIC": "IBAN <IBAN>, BIC",
    "GB82WEST12345698765432": "<IBAN>",
    "card 4111 1111 1111 1111 or 378282246310005": "card <CARD> or <CARD>",
    "id = AKIAIOSFODNN7EXAMPLE": "id = <KEY>",
    'aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"': 'aws_secret_access_key="<KEY>"',
    f"token {TOKEN}": "token <KEY>",
    "xoxb-123456789012-abcdefABCDEF": "<KEY>",
    "AIza" + "Sy0-" * 8 + "abc": "<KEY>",
    f"a\n{PRIVATE}\nb": "a\n<KEY>\nb",
    f"Bearer {JWT}": "Bearer <KEY>",
}

UNTOUCHED = [
    "logo@2x.png, git@github.com:me/mine, name [at] host.org, a @ b, me@localhost, x@example.com",
    "10.0.0.1 127.0.0.1 192.168.4.5 172.16.3.9 169.254.3.3 192.0.2.77 198.51.100.7 203.0.113.9 224.1.1.251 0.0.0.0",
    "version 1.2.3.4, v93.184.216.34, Chrome/93.184.216.34, lib-93.184.216.34.jar, pip==93.184.216.34, 1.2.3.4.5",
    "section 93.4.2.1, 3.8.7.2 of 2014, 300.1.2.3, 093.184.216.34, 93.184.216.0, 52.1.60.9-rc1",
    "::1 fe80::1:2:3 2001:db8::1:2:3 12:30:45 2010::12 std::vector dead::beef:1:2 2001:12:30",
    "+3.1415926535 1+15145551234 +1 999 (030) 1234567 030/1234567 +1-114-555-1234 +99 123 456 789",
    "DE88 3704 0044 0532 0130 00, XX89370400440532013000, DE893704004405320130001",
    "4111 1111 1111 1112, 4111-1111 1111-1111, 0.4111111111111111, id=4111111111111111, 1234 5678 9012 3452",
    "AKIA123 ghp_short eyJ.eyJ. AIzaShort xoxo-hugs-and-kisses -----BEGIN PUBLIC KEY-----",
    "-----BEGIN PRIVATE KEY-----...-----END PRIVATE KEY-----",
]


def batch(texts, kind=None):
    return pa.record_batch({"doc": pa.array(range(len(texts)), pa.uint64()), "text": pa.array(texts, kind or "string")})


def masked(text, **params):
    return pii(batch([text]), **params)[0].column("text")[0].as_py()


@pytest.mark.parametrize("text", MASKED)
def test_what_identifies_somebody_is_masked(text):
    assert masked(text) == MASKED[text]
    assert masked(MASKED[text]) == MASKED[text], "a mask is masked again"
    (kind,) = set(re.findall("<([A-Z0-9]+)>", MASKED[text]))
    others = [one for one in KINDS if one != kind.lower()]
    assert masked(text, kinds=others) == text
    assert masked(text, kinds=[kind.lower()]) == MASKED[text]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_only_looks_like_it_stays(text):
    found = pii(batch([text]))
    assert found[0].column("text")[0].as_py() == text
    assert found[1].num_rows == 0


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from([*MASKED, " ", "\n", "é", "no one"]), max_size=5).map(" ".join) | st.none()),
    st.sampled_from([pa.string(), pa.large_string()]),
)
def test_every_document_is_read_for_itself_and_counted_by_kind(texts, kind):
    after, found = pii(batch(texts, kind))
    alone = [text if text is None else masked(text) for text in texts]
    assert after.column("text").to_pylist() == alone
    assert after.column("text").type == kind
    counted = Counter()
    for row in found.to_pylist():
        counted[row["row"], row["what"]] += row["times"]
    written = Counter(
        (n, one.lower()) for n, text in enumerate(alone) for one in re.findall("<([A-Z0-9]+)>", text or "")
    )
    assert counted == written
    assert found.column("row").to_pylist() == sorted(found.column("row").to_pylist())


@settings(max_examples=200)
@given(st.text("@+.:-/ 4128aAeEgx_JKZDé\n=", max_size=60))
def test_no_text_is_broken(text):
    assert re.sub("<[A-Z0-9]+>", "", masked(text)) == masked(text, how="drop")


def test_masks_of_the_users_and_none_at_all():
    text = "jo@firm.org at 93.184.216.34"
    fineweb = {"email": "email@example.com", "ipv4": "22.214.171.124"}
    assert masked(text, masks=fineweb) == "email@example.com at 22.214.171.124"
    assert masked(text, how="drop") == " at "


def test_stats_show_what_was_masked_and_findings_where(tmp_path):
    texts = ["Write to jo@firm.org or al@firm.org.", "Nothing to see.", "The host 93.184.216.34, jo@firm.org"]
    rows = "\n".join(f'{{"text": "{text}"}}' for text in texts)
    (tmp_path / "web.jsonl").write_text(rows)
    recipe = "name: r\nsources:\n  web: {read: jsonl, path: web.jsonl}\nsteps:\n  - pii: {}\n    name: private\n"
    (tmp_path / "r.yaml").write_text(recipe)
    assert build(tmp_path / "r.yaml") == 0
    root = Root(tmp_path / "root")
    plan = root.require_plan()
    assert evidence.findings(root, plan) == [
        {"step": "private", "what": "email", "times": 3, "documents": 2},
        {"step": "private", "what": "ipv4", "times": 1, "documents": 1},
    ]
    assert "private  email      3          2" in stats_text.render(root, plan)
    rebuild(root, plan)
    answer = query(root, "SELECT c.text, what, times FROM findings JOIN corpus c USING (doc) ORDER BY doc, what")
    assert answer.to_pylist() == [
        {"text": "Write to <EMAIL> or <EMAIL>.", "what": "email", "times": 2},
        {"text": "The host <IPV4>, <EMAIL>", "what": "email", "times": 1},
        {"text": "The host <IPV4>, <EMAIL>", "what": "ipv4", "times": 1},
    ]
    assert set(kept(tmp_path / "root", "doc")) == {
        "Write to <EMAIL> or <EMAIL>.",
        "Nothing to see.",
        "The host <IPV4>, <EMAIL>",
    }
