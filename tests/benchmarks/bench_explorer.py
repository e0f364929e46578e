"""How long the explorer takes to answer on a corpus of 10 million documents that it makes: wall clock and CPU time.

    python tests/benchmarks/bench_explorer.py FOLDER [DOCUMENTS]

FOLDER keeps the corpus; a second run uses it again. The run around it is a real one of a few documents,
whose published folders are replaced. There is no peer: no other toolkit has such a page.
"""

import shutil
import sys
import time
from pathlib import Path

import duckdb

from corpuskit.explore.explorer.answers import Answers
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.scheduler import run
from corpuskit.store.root import Root
from tests.core.builder import corpus, recipe

FILES = 20

ROW = """
((hash(i >> 20) >> 20 << 20) + (i & 1048575))::UBIGINT AS doc,
repeat(md5(i::VARCHAR) || ' ', 8 + i % 16) AS text,
'web' AS source, NULL::VARCHAR AS meta, (60 + hash(i) % 20000)::BIGINT AS clean_chars,
exp((hash(i + 1) % 1000) / 100.0) AS ppl, (hash(i + 2) % 1000) / 1000.0 AS language_score
"""


def build(folder: Path, documents: int) -> Path:
    """A root whose published folders hold so many documents, a fifth of them dropped."""
    root = folder / "root"
    if (folder / "done").exists():
        return root
    path = recipe(folder, corpus(folder / "raw"))
    loaded = load(path, [])
    plan, made = make(loaded), Root(root)
    assert not run(plan, made, made.new_run(path.read_text(), "", plan), engine="inline").failures
    connection = duckdb.connect()
    for name in ("corpus", "dropped"):
        shutil.rmtree(root / name)
        for domain in ("web", "books"):
            (root / name / f"domain={domain}").mkdir(parents=True)
    each = documents // FILES
    for number in range(FILES):
        source = f"SELECT {ROW}, i FROM range({number * each}, {(number + 1) * each}) t(i)"
        domain = "web" if number % 4 else "books"
        for name, chosen in (
            ("corpus", f"SELECT * EXCLUDE (i) FROM ({source}) WHERE i % 5 > 0"),
            (
                "dropped",
                f"""SELECT * EXCLUDE (i, text, source), if(i % 50 = 0, text, NULL) AS text, NULL::VARCHAR AS reason,
                if(i % 10 = 0, 'too_short', 'ppl') AS rule FROM ({source}) WHERE i % 5 = 0""",
            ),
        ):
            target = root / name / f"domain={domain}" / f"{number:02d}.parquet"
            connection.execute(f"COPY ({chosen}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    (folder / "done").touch()
    return root


def main() -> None:
    """Print a table."""
    folder, documents = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    answers = Answers(str(build(folder, documents)))
    first = answers.documents()["rows"][0]["doc"]

    asked = {
        "overview": answers.overview,
        "documents of a domain": lambda: answers.documents(domain="web"),
        "documents by a rule": lambda: answers.documents(fate="dropped", rule="too_short"),
        "documents in a range of a signal, sorted": lambda: answers.documents(signal="ppl", low=100, high=200),
        "largest of a signal": lambda: answers.documents(signal="clean_chars", descending=True),
        "histogram of a signal": lambda: answers.histogram(signal="clean_chars"),
        "histogram of another": lambda: answers.histogram(signal="ppl"),
        "threshold with examples": lambda: answers.threshold(signal="ppl", operator="<=", value=1500.0),
        "SQL: rules by domain": lambda: answers.sql(
            sql="SELECT domain, rule, count(*), avg(ppl) FROM signals GROUP BY ALL", name="x"
        ),
        "SQL: one document by its id": lambda: answers.sql(sql=f"SELECT * FROM corpus WHERE doc = {first}", name="y"),
        "text search: first hit": lambda: next(one for one in answers.search(text="a1") if "doc" in one),
    }
    print(f"{documents:,} documents; seconds: the first time, then the median of 3 (wall clock, CPU)")
    for name, ask in asked.items():
        taken = []
        for _ in range(4):
            wall, cpu = time.perf_counter(), time.process_time()
            ask()
            taken.append((time.perf_counter() - wall, time.process_time() - cpu))
        rest = sorted(taken[1:])[1]
        print(f"| {name} | {taken[0][0]:.2f} | {rest[0]:.2f} | {rest[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
