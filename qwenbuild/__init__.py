"""qwenbuild is `make` for images: specs in, Qwen-Image renders out, nothing rendered twice.

```python
import qwenbuild

engine = qwenbuild.load("path/to/project")
print(engine.plan().counts)
finished = engine.build()
```

Each name is loaded when it is first used, so that `import qwenbuild` is quick.
"""

from __future__ import annotations

from .version import __version__

TYPE_CHECKING = False  # an import of `typing` takes longer than all other imports of a no-op build
if TYPE_CHECKING:
    from typing import Any

    from .engine.engine import Engine, load
    from .errors import QwenbuildError
    from .events import Event, Finished
    from .options import Options
    from .plan.plan import Plan, Step, Verdict

__all__ = ["Engine", "Event", "Finished", "Options", "Plan", "QwenbuildError", "Step", "Verdict", "__version__", "load"]

_HOMES = {
    "Engine": "engine.engine", "Options": "options", "load": "engine.engine", "QwenbuildError": "errors",
    "Event": "events", "Finished": "events", "Plan": "plan.plan", "Step": "plan.plan", "Verdict": "plan.plan",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
