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

Keys of the object; `[...]` is a list of objects with these keys, `{...}` an object of such objects by name, `...` that
there are more by what it is. A key is never taken away within a version of the minor number; others may be added. What is
not known, or does not apply, is null.

| verb | keys |
| --- | --- |
| `check` | recipe, sources, steps, warnings |
| `plan` | stages [stage, key, units, to_run, why, disk, at_most, guessed, peak, memory, cores, gpus], raw_bytes, disk, memory; with dedup: dedup_bits, lsh; with a mixture: encoder |
| `run` | root, units_run, units_reused, units_complete_before, other_versions, report, domains, failed_expects |
| `status` | recipe, run, stages [stage, units, complete, reused, at_work, rows, bytes, seconds, peak_bytes], failures, slow, unpublished, last_activity |
| `stats` | domains [domain, read, unreadable, empty, rules, exact, near, contaminated, held_out, kept, compared, bytes, tokens, dropped, drop_rates, duplicate_rate], total |
| `stats --sql` | a list of rows by column |
| `stats --what-if` | rule, before, after, changes [domain, kept, leave, tokens, held_out, orphans, again, dropped, back, unjudged, estimated_tokens], later, anew |
| `diff` | roots, runs, recipe, domains [domain, kept, bytes, tokens, duplicates, came, went, changed], reasons [change, before, after, documents, examples], common |
| `verify` | root, files, bytes, faults [file, wrong, unit, mended_by, mend], removed |
| `init` | recipe, variables |
| `peek` | document, lines |
| `find` | text, indexed, occurrences, documents, domains {occurrences, documents}, places [doc, byte, source, domain, before, after] |
| `find --file` | characters, covered, min, spans [first, end, text, occurrences, documents, domains, places] |
| `trace` of a document | doc, raw, fate, reason, steps [step, outcome, ...], columns, text, stored, duplicate_of, copies, tokens, shards [file, sequence, start, length, domain, doc, doc_start, phase, number, epoch], training [training, steps, done, checkpoints], taken_down |
| `trace` of a token | file, offset, sequence, column, token, documents [file, sequence, start, length, domain, doc, doc_start, phase, number, epoch], doc, document |
| `trace` of a step | training, step, steps, done, phase, sequences [file, sequence, number, documents] |
| `report` | report |
| `export` | to, format, content, counts [split, domain, sequences, tokens], linked, copied, written, files, crc32, new |
| `export` of a checkpoint | format, to, checkpoint, files, evaluation |
| `generate` | checkpoint, prompt, text, tokens |
| `compare` | domains [domain, unit, a, b, difference, low, high] |
| `mix solve` | weights, phases [until, weights] |
| `mix explain` | format, seed, seq_len, packing, max_epochs, asked, largest, tokens, sequences, files, tokenizer, domains {weight, documents, stored, targets, blocks, sequences, taken, epochs, cap}, phases [until, seq_len, tokens, sequences, sequences_per_file, domains] |
| `mix swarm` | ratios, runs, domains |
| `mix fit` | runs, domains, laws |
| `mix doremi` | a list of rounds, with weights and change |
| `mix ablate` | weights, alone, mixture |
| `remove` | asked, documents, removed_before, copies_left, copies_elsewhere, trainings [training, first_step, steps, done, checkpoints], trainings_unknown, models, removed |
| `gc` | folders [folder, what, files, bytes, units, run], files, bytes, checkpoints_kept, removed |
| `train` | of a recipe those of `run`; of a root what its `result.json` has |
| `lm train` | sentences, words, special_words, blank_lines, orders [found, kept, discounts, fallback], model, bytes |
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
