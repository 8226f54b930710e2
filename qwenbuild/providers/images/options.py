"""Options: the parameters of a request to open weights, by qwenbuild's own names, with their types and ranges.

Each of them changes pixels, or names what does. So all of them are in the action key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from qwenbuild.errors import UsageError

_LONGEST: Final = 200  # characters of a name
_MOST_LORAS: Final = 20
_MOST_STEPS: Final = 1000
_HIGHEST: Final = 1000.0  # of a scale

LABELS: Final = ("weights", "dtype", "quantization")
"""Parameters that no server is told: they only say which weights it serves, so that other weights give other keys."""


def _whole(value: object) -> object:
    if type(value) is not int or not 1 <= value <= _MOST_STEPS:
        raise ValueError(f"a whole number from 1 to {_MOST_STEPS:,}")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _HIGHEST:
        raise ValueError(f"a number from 0 to {_HIGHEST:g}")
    return float(value)


def _signed(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _HIGHEST:
        raise ValueError(f"a number from {-_HIGHEST:g} to {_HIGHEST:g}")
    return float(value)


def _name(value: object) -> object:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > _LONGEST:
        raise ValueError(f"a text of 1 to {_LONGEST} characters that can be printed")
    return value


def _loras(value: object) -> object:
    expected = 'a list of tables such as { path = "lightning.safetensors", scale = 1.0 }; name is optional'
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_LORAS:
        raise ValueError(expected)
    found = []
    for each in value:
        if not isinstance(each, dict) or not each.keys() <= {"name", "path", "scale"} or "path" not in each:
            raise ValueError(expected)
        scale = each.get("scale", 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
            raise ValueError(expected)
        found.append({**{key: _name(text) for key, text in each.items() if key != "scale"}, "scale": float(scale)})
    return found


CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "steps": _whole,
    "guidance_scale": _number,
    "true_cfg_scale": _number,
    "flow_shift": _signed,
    "sampler": _name,
    "scheduler": _name,
    "generator_device": _name,
    "loras": _loras,
    "cache": _name,
    "weights": _name,
    "dtype": _name,
    "quantization": _name,
}
"""What gives each parameter its one form; it raises ValueError with what is expected."""


def checked(name: str, value: object) -> Any:
    """Return the one form of a parameter's value. Raises UsageError."""
    try:
        return CHECKS[name](value)
    except ValueError as error:
        raise UsageError(f"{name} = {_shown(value)} is not {error}", name="parameter-not-taken") from None


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
