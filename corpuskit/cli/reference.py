"""The reference of the command line: `python -m corpuskit.cli.reference > docs/command_line.md`."""

# ruff: noqa: E501  (rows of tables)

from __future__ import annotations

import argparse

from corpuskit.cli.parser import parsers

_HEAD = """\
# Command line

Made by `python -m corpuskit.cli.reference > docs/command_line.md` from what the program parses.

Exit codes: 0 ok; 1 units failed; 2 the recipe or the arguments are wrong; 3 an `expect` failed; 128 + the number of a
signal. With `--json` a verb prints one JSON value on standard output; an error is then
`{"error": ..., "hint": ..., "exit_code": ...}` on standard error. Progress and warnings go to standard error; there is
no colour in a pipe. `eval "$(corpuskit completion)"` completes verbs and options in bash, and in zsh after
`autoload bashcompinit && bashcompinit`.

## What `--json` prints

Keys of the object; `[...]` is a list of objects with these keys. A key is never taken away within a version of the minor
number; others may be added.

| verb | keys |
| --- | --- |
| `check` | recipe, sources, steps, warnings |
| `plan` | stages [stage, key, units, to_run, why, disk, peak, memory, cores, gpus], raw_bytes, disk, memory; with dedup: dedup_bits, lsh; with a mixture: encoder |
| `run` | root, units_run, units_reused, units_complete_before, other_versions, report, domains, failed_expects |
| `status` | recipe, run, stages [stage, units, complete, reused, at_work, rows, bytes, seconds, peak_bytes], failures, slow, last_activity |
| `stats` | domains [domain, read, unreadable, empty, rules, exact, near, contaminated, held_out, kept, compared, bytes, tokens, dropped, drop_rates, duplicate_rate], total |
| `stats --sql` | a list of rows by column |
| `stats --what-if` | rule, before, after, changes [domain, kept, leave, tokens, held_out, orphans, again, dropped, back, unjudged, estimated_tokens], later, anew |
| `diff` | roots, runs, recipe, domains [domain, kept, bytes, tokens, duplicates, came, went, changed], reasons [change, before, after, documents, examples], common |
| `verify` | root, files, bytes, faults, removed |
| `init` | recipe, variables |
"""


def render() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *(_verb(name, made) for name, made in parsers().items())])


def _verb(name: str, made: argparse.ArgumentParser) -> str:
    usage = " ".join(made.format_usage().removeprefix("usage: ").split())
    rows = [
        f"| `{', '.join(one.option_strings) or one.metavar}` | {(one.help or '').replace('|', chr(92) + '|')} |"
        for one in made._actions  # noqa: SLF001
        if one.dest not in ("help", "json")
    ]
    table = ["| argument | meaning |", "| --- | --- |", *rows, ""] if rows else []
    return "\n".join([f"## {name}", "", f"{made.description}.", "", f"    {usage}", "", *table])


if __name__ == "__main__":
    print(render(), end="")
