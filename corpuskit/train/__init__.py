"""The trainer: a decoder trained on token shards with FSDP2; needs the extra `train`. Imports no torch by itself."""
