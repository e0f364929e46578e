"""Steps: plain functions on a batch of documents, made usable by name from a recipe.

A step is a function with keyword parameters; its annotations validate the recipe. Nothing to subclass:

    from corpuskit.core import step
    import pyarrow.compute as pc

    @step.filter
    def no_lorem(batch, *, max_hits: int = 0):
        return pc.less_equal(pc.count_substring(batch["text"], "lorem ipsum"), max_hits)

Kinds, with what the function gets and gives (n rows in, n rows out, row by row: a step must give the same for a row
whatever rows stand beside it):

    source   (file, **params)   -> iterator of dict | Bad | Skip, one item a raw record, in file order; or of
                                   RecordBatch (n raw records), see `source`
    signal   (batch, **params)  -> Array[n], or {column: Array[n]}
    filter   (batch, **params)  -> BooleanArray[n] (true keeps), or (mask, StringArray[n] of reasons)
    edit     (batch, **params)  -> RecordBatch[n] (a null text drops nothing: return the row as it was)
    preset   (**params)         -> list of recipe steps that it stands for
    barrier  (**params)         -> its validated parameters; of corpuskit alone, whose plan knows how to run it
    method   (problem, **params) -> Mixture; for `mix.weights`, see `corpuskit.mix.methods`

A filter or edit may say beside it what it found: `(mask, reasons, findings)`, `(batch, findings)`. Findings are a
RecordBatch of `row` (of the batch, rising), `what` and `times`, and if it has them `item` (which of its kind) and
`text`; `counted({what: counts})` makes them of counts by document, int[n] each. `corpuskit stats` shows the sums by
`what`; the rows are in `findings/`, with the documents' ids.

A signal, filter or edit that needs to have seen everything adds `.summarize` and `.merge` (exact and order-free), and
then gets the merged state as the keyword argument `state`. One that makes a model, of files or of the documents of a
domain, adds `.train`, and gets the model's path as `state`.
"""

from corpuskit.core.findings import counted
from corpuskit.core.identity import File
from corpuskit.core.step import Bad, Skip, Step, barrier, edit, filter, preset, signal, source

__all__ = ["Bad", "File", "Skip", "Step", "barrier", "counted", "edit", "filter", "preset", "signal", "source"]
