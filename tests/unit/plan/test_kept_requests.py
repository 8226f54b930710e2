"""Kept requests: an image that got another name keeps its derived seed, and a blank negative prompt its old key."""

from __future__ import annotations

import contextlib

import pytest

from qwenbuild.plan.kept_requests import with_kept_requests
from qwenbuild.request import derived_seed
from qwenbuild.specs.action import Action
from qwenbuild.storage.lock import Lock
from qwenbuild.storage.lock_format import Pin
from qwenbuild.storage.records import Output
from qwenbuild.storage.state import State
from tests.support.workspace import Workspace

OLD = derived_seed("s/old")


def spec(extra: str = "", prompt: str = "a ball") -> str:
    return f'[image.new]\nprompt = "{prompt}"\n{extra}'


def read(project: Workspace, lock: Lock, *records: Output) -> list[Action]:
    """Return the actions as a plan has them, with these records in lock and state."""
    with contextlib.closing(State.of(project.root, create=True)) as state:
        state.record(records, {})
        return list(with_kept_requests(project.actions(), lock, state))


def kept(project: Workspace, *, path: str = "s/old.png", seed: int = OLD, text: str = "") -> int:
    """Return the seed of the cell `s/new`. The lock pins the prompt "a ball" with `seed` at `path`."""
    project.write({"specs/s.toml": spec()})
    [action] = project.actions()
    key = action.request._replace(seed=seed).key
    project.write({"specs/s.toml": text or spec()})
    [action] = read(project, Lock({path: Pin(path, "s/x", key, "0" * 64, "m", seed)}))
    assert action.key == action.request.key
    assert action.seed == action.request.seed
    return action.seed


def test_the_seed_of_an_orphan_with_the_same_request_is_kept(project: Workspace) -> None:
    """Before the build that renames it, and afterwards, when its own path has the seed."""
    assert kept(project) == OLD
    assert kept(project, path="s/new.png") == OLD


@pytest.mark.parametrize("text", [spec(prompt="a bat"), spec("seed = 7"), spec("matrix = { seed = [7] }")])
def test_another_request_and_a_stated_seed_keep_their_own(project: Workspace, text: str) -> None:
    """Only what would be the very same image is taken over."""
    own = 7 if "7" in text else derived_seed("s/new")
    assert kept(project, text=text) == own
    if "matrix" not in text:  # the axis has another path
        assert kept(project, text=text, path="s/new.png") == own


def test_the_seed_is_kept_if_another_image_takes_the_name(project: Workspace) -> None:
    """The cell at the old path has another request now. A new image with a prompt that has a cell gets its own seed."""
    both = "[image.old]\nprompt = 'a bat'\n" + spec()
    [old] = project.write({"specs/s.toml": "[image.old]\nprompt = 'a ball'"}).actions()
    lock = Lock({old.output: Pin(old.output, old.name, old.key, "0" * 64, "m", old.seed)})
    project.write({"specs/s.toml": both})
    assert [action.seed for action in read(project, lock)] == [OLD, OLD]
    project.write({"specs/s.toml": both.replace("bat", "ball")})
    assert [action.seed for action in read(project, lock)] == [OLD, derived_seed("s/new")]


def test_without_a_record_nothing_changes(project: Workspace) -> None:
    """An empty lock, and a lock that agrees."""
    assert kept(project, seed=derived_seed("s/new")) == derived_seed("s/new")
    actions = project.write({"specs/s.toml": spec()}).actions()
    with contextlib.closing(State.of(project.root, create=True)) as state:
        assert with_kept_requests(actions, Lock(), state) is actions


BLANK = 'negative_prompt = " "'


@pytest.mark.parametrize("by", ["lock", "state", "nobody"])
@pytest.mark.parametrize(
    "blank", [BLANK, 'vars = { x = " " }\nnegative_prompt = "{{ x }}"', 'matrix = { negative_prompt = [" "] }']
)
def test_a_blank_negative_prompt_keeps_the_key_of_its_record(project: Workspace, blank: str, by: str) -> None:
    """Earlier versions took it for none. Without a record it is sent as written, under a key of its own."""
    project.write({"specs/s.toml": spec(blank)})
    [now] = project.actions()
    assert now.request.negative_prompt == " "
    old = now.request._replace(negative_prompt="").key
    assert old != now.key
    pin = Pin(now.output, now.name, old, "0" * 64, "m", now.seed)
    record = Output(now.output, old, "0" * 64, 1, 1, 1, now.name)
    [action] = read(project, Lock({pin.path: pin} if by == "lock" else {}), *([record] if by == "state" else []))
    assert action.key == action.request.key == (now.key if by == "nobody" else old)


def test_the_record_of_another_cell_gives_no_key(project: Workspace) -> None:
    """A cell without a negative prompt has the old key by right."""
    project.write({"specs/s.toml": spec(BLANK + "\nseed = 1\n") + spec("seed = 1").replace("new", "plain")})
    new, plain = project.actions()
    assert new.key != plain.key
    pins = Lock({plain.output: Pin(plain.output, plain.name, plain.key, "0" * 64, "m", 1)})
    assert [action.key for action in read(project, pins)] == [new.key, plain.key]


def test_a_blank_negative_prompt_is_kept_through_a_rename(project: Workspace) -> None:
    """Both the seed and the negative prompt are those of the orphan."""
    project.write({"specs/s.toml": spec(BLANK)})
    [now] = project.actions()
    before = now.request._replace(negative_prompt="", seed=OLD)
    [action] = read(project, Lock({"s/old.png": Pin("s/old.png", "s/old", before.key, "0" * 64, "m", OLD)}))
    assert action.request == before


@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        ("{{ t | tojson }}", r'{"a": "\u65b0 \u0026 \u003cb\u003e", "b": "it\u0027s"}'),
        ("{{ t | tojson(1) }}", '{\n "a": "\\u65b0 \\u0026 \\u003cb\\u003e",\n "b": "it\\u0027s"\n}'),
        ("{{ t.b | e }} {{ t.a | forceescape }}", "it&#39;s 新 &amp; &lt;b&gt;"),
    ],
)
def test_an_image_of_an_escaped_prompt_is_kept(project: Workspace, prompt: str, before: str) -> None:
    """The lock or the state shows that it was made of the text that earlier versions made."""
    vars_ = 'vars.t = { a = "新 & <b>", b = "it\'s" }\n'
    project.write({"specs/s.toml": f"[image.new]\nprompt = '{prompt}'\n{vars_}seed = 1\n"})
    [action] = project.actions()
    assert "&lt;" not in action.request.prompt
    assert "\\u" not in action.request.prompt
    old = action.request._replace(prompt=before)
    lock = Lock({"s/new.png": Pin("s/new.png", "s/new", old.key, "0" * 64, "m", 1)})
    record = Output("s/new.png", old.key, "0" * 64, 1, 1, 1, "s/new")
    assert [it.key for it in read(project, Lock())] == [action.key]
    for actions in (read(project, lock), read(project, Lock(), record)):
        assert [(it.key, it.request) for it in actions] == [(old.key, old)]
