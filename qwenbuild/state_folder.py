"""The names in `.qwenbuild/`, the folder of a project's state and of everything derived.

The no-op fast path reads these names, so this module imports nothing.
"""

FOLDER = ".qwenbuild"
STATE = "state.sqlite3"
BUILD_LOCK = "lock"
