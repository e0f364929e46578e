"""The explorer: a page on this machine in which a person looks at a run, while it runs or afterwards."""
