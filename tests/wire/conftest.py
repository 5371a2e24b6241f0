"""Properties may be slow on a busy machine: a deadline for each example would only say how busy it was."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
