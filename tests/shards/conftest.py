"""Properties are about results: a busy machine may take its time."""

from hypothesis import settings

settings.register_profile("shards")
settings.load_profile("shards")
