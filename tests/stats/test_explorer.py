"""The explorer answers what a person asks of a run, and nobody but the page that was opened."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.sql import limits_of
from corpuskit.errors import UsageError
from corpuskit.explore import thresholds, views
from corpuskit.explore.explorer import search as text_search
from corpuskit.explore.explorer.answers import Answers
from corpuskit.explore.explorer.compare import WORDS, compared
from corpuskit.explore.explorer.server import Server
from corpuskit.store.root import Root


@pytest.fixture
def answers(finished: Path) -> Answers:
    return Answers(str(finished))


def value(answers: Answers, sql: str) -> object:
    return answers.sql(sql=sql, name="value")["rows"][0][0]


# -- answers ----------------------------------------------------------------------------------------------------------


def test_documents_are_browsed_by_fate_domain_rule_and_signal(answers: Answers) -> None:
    whole = answers.documents()
    assert whole["count"] == value(answers, "SELECT count(*) FROM corpus")
    assert all(row["text"] for row in whole["rows"])
    dropped = answers.documents(fate="dropped", rule="too_short", domain="web", signal="clean_chars", high=40)
    wanted = "SELECT count(*) FROM dropped WHERE rule = 'too_short' AND domain = 'web' AND clean_chars <= 40"
    assert dropped["count"] == value(answers, wanted) > 0
    values = [row["value"] for row in answers.documents(signal="clean_chars", low=700, descending=True)["rows"]]
    assert values == sorted(values, reverse=True)
    assert min(values) >= 700


def test_pages_of_documents_follow_one_another_without_a_gap(answers: Answers) -> None:
    seen, count = [], answers.documents(signal="clean_chars")["count"]
    while len(seen) < count:
        seen += [row["doc"] for row in answers.documents(signal="clean_chars", offset=len(seen))["rows"]]
    assert len(set(seen)) == count


def test_a_threshold_says_what_it_drops_with_examples_on_both_sides(answers: Answers) -> None:
    found = answers.threshold(signal="clean_chars", operator=">=", value=1000.0, rule="too_short", domains=["web"])
    wanted = "SELECT count(*) FROM corpus WHERE domain = 'web' AND clean_chars < 1000"
    assert [(one["domain"], one["drops"]) for one in found["domains"]] == [("web", value(answers, wanted))]
    below, above = ([row["value"] for row in found["examples"][side]] for side in ("drops", "keeps"))
    assert max(below) < 1000 <= min(above)
    assert (
        below[0]
        == max(below)
        == value(answers, "SELECT max(clean_chars) FROM corpus WHERE domain = 'web' AND clean_chars < 1000")
    )
    assert found["returns"] == 0
    looser = answers.threshold(signal="clean_chars", operator=">=", value=0.0, rule="too_short", domains=["web"])
    assert looser["returns"] == value(
        answers, "SELECT count(*) FROM dropped WHERE rule = 'too_short' AND domain = 'web'"
    )


def test_the_bins_of_a_signal_count_every_document_on_its_side_of_the_limit(answers: Answers) -> None:
    found = answers.histogram(signal="clean_chars")
    bins, (limit,) = found["histogram"], found["limits"]
    assert sum(bins["kept"]) + bins["missing"] == value(answers, "SELECT count(*) FROM corpus")
    assert sum(bins["here"]) == value(answers, "SELECT count(*) FROM dropped WHERE rule = 'too_short'")
    edge = min(range(len(bins["edges"])), key=lambda k: abs(bins["edges"][k] - limit["value"]))
    assert bins["edges"][edge] == pytest.approx(limit["value"])
    assert sum(bins["kept"][: edge + 1]) == 0  # what the rule drops
    assert sum(bins["here"][edge + 1 :]) == 0  # what it keeps


def test_other_limits_drop_what_is_said_of_them(finished: Path) -> None:
    root = Root(finished)
    views.rebuild(root, root.require_plan())
    (limit,) = thresholds.limits(root.require_plan())
    assert (limit.rule, limit.operator, limit.value, limit.domains) == ("too_short", ">=", 60.0, ("books", "web"))
    moves = thresholds.moves(views.connect(root), limit)
    assert moves
    for move in moves:
        (row,) = views.query(root, f"SELECT count(*) AS n FROM corpus WHERE clean_chars < {move.value}").to_pylist()
        assert row["n"] == move.documents


def test_limits_are_read_out_of_rules_that_must_all_hold() -> None:
    assert limits_of("words >= 50 AND 0.65 < score and x BETWEEN -1 AND 2") == [
        ("words", ">=", 50.0),
        ("score", ">", 0.65),
        ("x", ">=", -1.0),
        ("x", "<=", 2.0),
    ]
    for free in ("words >= 50 OR score > 1", "coalesce(words, 0) < 3", "language = 'en'", "words = 3", "a < b"):
        assert limits_of(free) == []


def test_a_removed_document_stands_beside_its_witness_with_what_differs(answers: Answers) -> None:
    pair = next(row for row in answers.duplicates(kind="near")["rows"])
    found = answers.compare(doc=str(pair["kept_doc"]), other=str(pair["doc"]))
    kept, removed = (
        "".join(text for what, text in found["pieces"] if what in ("same", side)) for side in ("one", "two")
    )
    assert kept == answers.document(doc=str(pair["kept_doc"]))["text"]
    assert removed == answers.document(doc=str(pair["doc"]))["text"]
    assert kept != removed
    assert any(what == "same" for what, _ in found["pieces"])


def test_the_difference_of_two_texts_is_in_words() -> None:
    pieces, left = compared("one two three, four", "one 2 three, four five")
    assert pieces == [
        ("same", "one "),
        ("one", "two "),
        ("two", "2 "),
        ("same", "three, "),
        ("one", "four"),
        ("two", "four five"),
    ]
    assert left == 0
    assert compared("", "") == ([], 0)
    long = " ".join(map(str, range(5000)))
    assert compared(f"{long} x {long}", f"{long} y {long}")[1] == 0  # what both begin and end with is no work
    assert compared(f"x {long} x", f"y {long} y")[1] == 2 * (5002 - WORDS)


def test_search_tells_hits_as_it_goes_and_says_when_it_is_done(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search, "ROWS", 10)
    events = list(answers.search(text="RIVER stone", blind=True))
    hits = {one["doc"] for one in events if "doc" in one}
    wanted = "SELECT count(*) FROM corpus WHERE contains(lower(text), 'river stone')"
    assert len(hits) == value(answers, wanted) > 0
    assert all(one["match"].lower() == "river stone" for one in events if "doc" in one)
    progress = [one["read"] for one in events if "read" in one]
    assert len(progress) > 5
    assert progress == sorted(progress)
    assert events[-1] == {"done": True, "more": False}
    assert not [one for one in answers.search(text="RIVER stone") if "doc" in one]
    with pytest.raises(UsageError, match="nothing to look for"):
        list(answers.search(text=""))


def test_sql_is_cut_to_rows_and_stopped_by_name(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answers.sql(sql="SELECT range AS n, range AS n FROM range(5000)", name="long")
    assert (found["columns"], len(found["rows"]), found["more"]) == (["n", "n_1"], 1000, True)
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b"
    failures = []

    def wait() -> None:
        try:
            answers.sql(sql=endless, name="endless")
        except UsageError as error:
            failures.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():
        answers.stop(name="endless")
        thread.join(0.05)
    assert "nterrupt" in failures[0]
    assert answers.stop(name="endless") == {"stopped": False}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "CREATE TABLE t AS SELECT 1",
        "COPY corpus TO '/tmp/corpuskit-stolen.csv'",
        "SET memory_limit = '1GB'",
        "SELECT 1; SELECT 2",
        "SELEC",
        "SELECT nope",
    ],
)
def test_sql_is_in_the_sandbox(answers: Answers, sql: str) -> None:
    with pytest.raises(UsageError):
        answers.sql(sql=sql, name="bad")


def test_a_run_that_goes_on_is_seen_by_a_page_that_is_open(root: Root) -> None:
    answers = Answers(str(root.path))
    before = answers.documents()["count"]
    file = next(root.path.glob("corpus/domain=web/*.parquet"))
    table = pq.read_table(file, partitioning=None)
    file.unlink()  # published files are links to parts
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), file)
    assert answers.overview()["recipe"] == "small"
    assert answers.documents()["count"] == before + 1
    assert answers.status()["failures"] == []


# -- the server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(finished: Path) -> Iterator[Server]:
    with Server(str(finished)) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def request(
    server: Server, method: str = "GET", path: str | None = None, body: object = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    if body is not None:
        given = {"Content-Type": "application/json"} | given
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, f"/{server.token}/" if path is None else path, data, given)
    reply = connection.getresponse()
    found = reply.status, reply.read(), {name.lower(): text for name, text in reply.getheaders()}
    connection.close()
    return found


def test_the_page_is_served_with_a_policy_that_lets_in_nothing_else(server: Server) -> None:
    status, page, headers = request(server)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<script src=" in page
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "access-control-allow-origin" not in headers
    for name in ("explorer.js", "explorer.css", "charts.js", "colours.css", "plotly.js"):
        assert request(server, path=f"/{server.token}/{name}")[0] == 200
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/index.html", "/ask/overview", "/wrong/", "/{token}", "/{token}x/"])
def test_without_the_token_nothing_is_served(server: Server, path: str) -> None:
    path = path.format(token=server.token)
    for method in ("GET", "POST"):
        status, body, _ = request(server, method, path, {})
        assert status == 403
        assert b"token" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_hosts_and_origins_are_refused_even_with_the_token(server: Server, headers: dict[str, str]) -> None:
    for method, path in (("GET", None), ("POST", f"/{server.token}/ask/overview")):
        assert request(server, method, path, {}, **headers)[0] == 403
    assert request(server, Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "path", ["../server.py", "%2e%2e/server.py", "..%2fserver.py", "static/explorer.js", "server.py", "/etc/passwd"]
)
def test_no_other_file_is_served(server: Server, path: str) -> None:
    assert request(server, path=f"/{server.token}/{path}")[0] == 404


def test_questions_are_json_objects_of_what_is_asked(server: Server) -> None:
    ask = f"/{server.token}/ask/"
    assert request(server, "POST", ask + "documents", {})[0] == 200
    for name, body, status in (
        ("documents", {"nope": 1}, 400),
        ("documents", b"[", 400),
        ("documents", b"[1]", 400),
        ("documents", {"fate": "lost"}, 400),
        ("documents", {"signal": 'x" FROM corpus; --'}, 400),
        ("documents", {"signal": "clean_chars", "low": "x"}, 400),
        ("threshold", {"signal": "clean_chars", "operator": "OR 1", "value": 1}, 400),
        ("threshold", {"signal": "clean_chars", "operator": ">", "value": "x"}, 400),
        ("document", {"doc": "1 OR 1"}, 400),
        ("search", {"text": ""}, 400),
        ("trace", {"what": "nothing"}, 400),
        ("_opened", {}, 404),
        ("__init__", {}, 404),
    ):
        found, said, _ = request(server, "POST", ask + name, body)
        assert (found, name) == (status, name), said
        assert json.loads(said)["error"]
    assert request(server, "POST", ask + "documents", {}, Content_Type="text/plain")[0] == 400
    assert request(server, "GET", ask + "documents")[0] == 404


def test_ids_arrive_as_text_since_javascript_has_no_such_numbers(server: Server) -> None:
    _, body, _ = request(
        server,
        "POST",
        f"/{server.token}/ask/sql",
        {"sql": "SELECT max(doc), 3, 0.5, 'nan'::DOUBLE FROM corpus", "name": "x"},
    )
    (row,) = json.loads(body)["rows"]
    assert row[0].isdigit()
    assert row[1:] == [3, 0.5, "nan"]


def test_a_search_ends_when_who_asked_goes_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "ROWS", 1)
    seen = []

    def endless(**_given: object) -> Iterator[dict[str, int]]:
        for number in range(10**9):
            seen.append(number)
            yield {"read": number, "of": 10**9}

    monkeypatch.setattr(server.answers, "search", endless)
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("POST", f"/{server.token}/ask/search", b"{}", {"Content-Type": "application/json"})
    assert json.loads(connection.getresponse().readline()) == {"read": 0, "of": 10**9}
    connection.close()
    while True:
        before = len(seen)
        threading.Event().wait(0.2)
        if len(seen) == before:
            break
    assert len(seen) < 10**9


def test_the_verb_refuses_what_is_no_run_and_a_port_that_is_taken(
    server: Server, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", str(tmp_path / "nothing"), "--no-browser"]) == 2
    assert main(["explore", str(finished), "--no-browser", "--port", str(server.server_port)]) == 2
    assert main(["explore", str(finished), "--no-browser", "--port", "70000"]) == 2
    assert "port 70000" in capsys.readouterr().err
