"""The names of the lock, and of what lies in `.qwenbuild/`, the folder of a project's state and of everything derived.

The no-op fast path reads these names, so this module imports nothing.
"""

LOCK = "qwenbuild.lock"
FOLDER = ".qwenbuild"
STATE = "state.sqlite3"
BUILD_LOCK = "lock"
