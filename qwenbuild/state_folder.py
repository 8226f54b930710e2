"""The names of the config, the lock, the picks, and what lies in `.qwenbuild/`, the folder of all that is derived.

The no-op fast path reads these names, so this module imports nothing.
"""

CONFIG = "qwenbuild.toml"
SHARED_CONFIG = "pyproject.toml"  # of other tools, too
LOCK = "qwenbuild.lock"
PICKS = "picks.toml"
FOLDER = ".qwenbuild"
STATE = "state.sqlite3"
BUILD_LOCK = "lock"
