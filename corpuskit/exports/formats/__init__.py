"""One file a format, found by its name: `HOLDS`, what of a run it holds, and `export`, which fills a folder."""
