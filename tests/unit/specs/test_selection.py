"""Tests of selection: names, paths, conditions and shards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwenbuild.errors import UsageError
from qwenbuild.options import Options
from qwenbuild.specs.action import Action
from qwenbuild.specs.project import find
from qwenbuild.specs.selection import select, shard
from tests.support.workspace import Workspace

FILES = {
    "qwenbuild.toml": 'specs = "specs/**/*.toml"\nout = "out/"\n',
    "specs/puppies.toml": """
        [image.poster]
        prompt = "{{ palette }}"
        output = "{{ spec }}/{{ palette | slug }}/{{ size }}-{{ seed }}.png"
        matrix = { palette = ["sunset", "fresh greens", "a, b", "[draft]"], size = ["1:1", "16:9"], seed = [1, 2] }
        [image.banner]
        prompt = "A banner"
        seed = 7
        """,
    "specs/icons.toml": """
        model = "qwen-image-2.0"
        [image.icon]
        prompt = "{{ n }}"
        matrix.n = { start = 1, count = 3 }
        """,
    "specs/deep/puppies.toml": '[image.poster]\nprompt = "x"\n',
}


@pytest.fixture
def actions(project: Workspace) -> list[Action]:
    return project.write(FILES).actions()


def chosen(project: Workspace, actions: list[Action], *names: str, **choices: Any) -> list[str]:
    return [action.name for action in select(actions, Options(select=names, **choices), project.project)]


def complaint(project: Workspace, actions: list[Action], *names: str, **choices: Any) -> str:
    with pytest.raises(UsageError) as caught:
        select(actions, Options(select=names, **choices), project.project)
    return str(caught.value)


def poster(palettes: str = 'sunset|fresh greens|"a, b"|"[draft]"', seeds: str = "12", sizes: str = "") -> list[str]:
    wanted = sizes.split() or ["1328x1328", "1664x928"]
    return [f"puppies/poster[palette={palette},seed={seed},size={size}]"
            for palette in palettes.split("|") for size in wanted for seed in seeds]  # fmt: skip


ICONS = ["icons/icon[n=1]", "icons/icon[n=2]", "icons/icon[n=3]"]


def test_no_names_select_everything(project: Workspace, actions: list[Action]) -> None:
    """All actions are selected, in the order of the project."""
    assert select(actions, Options(select=[]), project.project) == actions
    assert len(actions) == 16 + 1 + 3 + 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("icons", ICONS),
        ("specs/icons.toml", ICONS),
        ("icons/icon", ICONS),
        ("icons/icon[n=2]", ["icons/icon[n=2]"]),
        ("ic*", ICONS),
        ("icons/*", ICONS),
        ("*/ic?n", ICONS),
        ("icons/icon[n=[!2]]", []),
        ("puppies/banner", ["puppies/banner"]),
        ("puppies", [*poster(), "puppies/banner"]),
        ("puppies/poster", poster()),
        ("puppies/poster[palette=sunset]", poster("sunset")),
        ("puppies/poster[seed=1,palette=sunset,size=1328x1328]", poster("sunset", "1", "1328x1328")),
        ('puppies/poster[palette="a, b",seed=2]', poster('"a, b"', "2")),
        ('puppies/poster[palette="[draft]"]', poster('"[draft]"')),
        ("puppies/poster[palette=s*]", poster("sunset")),
        ("puppies/poster[size=16:9,seed=1]", poster(seeds="1", sizes="1664x928")),
        ("puppies/poster[size=1664*928,seed=1]", poster(seeds="1", sizes="1664x928")),
        ("deep/puppies", ["deep/puppies/poster"]),
        ("deep/puppies/poster", ["deep/puppies/poster"]),
        ("specs/deep/puppies.toml", ["deep/puppies/poster"]),
        ("out/icons/icon-2.png", ["icons/icon[n=2]"]),
        ("./out/icons/icon-2.png", ["icons/icon[n=2]"]),
        ("icons/icon-2.png", ["icons/icon[n=2]"]),
        ("puppies/fresh-greens/1664x928-2.png", poster("fresh greens", "2", "1664x928")),
    ],
)
def test_names(project: Workspace, actions: list[Action], name: str, expected: list[str]) -> None:
    """A name is a spec, an image, a cell or a path; all except paths may be globs."""
    if expected:
        assert chosen(project, actions, name) == expected
    else:
        assert complaint(project, actions, name).startswith("error: not")


def test_every_cell_is_selected_by_its_own_name(project: Workspace, actions: list[Action]) -> None:
    """The path of a cell's output also selects the cell."""
    for action in actions:
        assert select(actions, Options(select=[action.name]), project.project) == [action]
        assert select(actions, Options(select=[f"out/{action.output}"]), project.project) == [action]


def test_names_are_alternatives_in_the_projects_order(project: Workspace, actions: list[Action]) -> None:
    """Each cell comes once, and the order of the names does not matter."""
    assert chosen(project, actions, "puppies/banner", "icons", "icons/icon[n=1]") == [*ICONS, "puppies/banner"]


def test_names_and_conditions_both_hold(project: Workspace, actions: list[Action]) -> None:
    """A condition narrows the selection of the names."""
    assert chosen(project, actions, "icons", "puppies/banner", where=("seed=7",)) == ["puppies/banner"]


@pytest.mark.parametrize(
    ("names", "where", "expected"),
    [
        (
            ("pupies",),
            (),
            'error: nothing is named "pupies"\n'
            "  = images: deep/puppies/poster, icons/icon, puppies/poster, puppies/banner\n"
            '  = hint: did you mean "puppies"?',
        ),
        (
            ("icons", "puppies/postr"),
            (),
            'error: nothing is named "puppies/postr"\n'
            "  = images: deep/puppies/poster, icons/icon, puppies/poster, puppies/banner\n"
            '  = hint: did you mean "puppies/poster"?',
        ),
        (
            ("out/icons/icon-4.png",),
            (),
            'error: nothing is named "out/icons/icon-4.png"\n'
            "  = images: deep/puppies/poster, icons/icon, puppies/poster, puppies/banner\n"
            '  = hint: did you mean "icons/icon-3.png"?',
        ),
        (
            ("icons/icon[n=9]",),
            (),
            'error: nothing is named "icons/icon[n=9]"\n'
            "  = images: deep/puppies/poster, icons/icon, puppies/poster, puppies/banner\n"
            '  = hint: did you mean "icons/icon[n=3]"?',
        ),
        (
            ("icons/icon[n]",),
            (),
            "error: not a cell's name: icons/icon[n]\n  = hint: write spec, spec/image or spec/image[axis=value,…]",
        ),
        (
            (),
            ("sead=1",),
            'error: no image has an axis "sead"\n'
            "  = axes: model, n, palette, ratio, seed, size\n"
            '  = hint: did you mean "seed"?',
        ),
        (
            (),
            ("seed",),
            'error: not a condition: "seed"\n  = hint: write -w AXIS=VALUE, such as -w seed=1 or -w "size=16:9"',
        ),
        (
            (),
            ("=1",),
            'error: not a condition: "=1"\n  = hint: write -w AXIS=VALUE, such as -w seed=1 or -w "size=16:9"',
        ),
        ((), ("n=9",), "error: no cell matches n=9\n  = values: 1, 2, 3"),
        (
            ("icons",),
            ("palette=sunset",),
            "error: no cell matches palette=sunset\n  = values: [draft], a, b, fresh greens, sunset",
        ),
    ],
)
def test_names_and_conditions_that_match_nothing(
    project: Workspace, actions: list[Action], names: tuple[str, ...], where: tuple[str, ...], expected: str
) -> None:
    """The error lists what exists."""
    assert complaint(project, actions, *names, where=where) == expected


TAGGED = """
[image.poster]
prompt = "a"
tags = ["web", "caf\u00e9"]
[image.banner]
prompt = "b"
matrix.seed = [1, 2]
tags = ["hero", "web"]
[image.icon]
prompt = "c"
"""


@pytest.mark.parametrize(
    ("tags", "names", "expected"),
    [
        (["web"], [], ["a/poster", "a/banner[seed=1]", "a/banner[seed=2]"]),
        (["hero"], [], ["a/banner[seed=1]", "a/banner[seed=2]"]),
        (["hero", "cafe\u0301"], [], ["a/poster", "a/banner[seed=1]", "a/banner[seed=2]"]),
        (["web"], ["a/icon", "a/poster"], ["a/poster"]),
    ],
)
def test_tags(project: Workspace, tags: list[str], names: list[str], expected: list[str]) -> None:
    """Several tags are alternatives, in any form of Unicode. A name and a tag must both fit."""
    project.write({"specs/a.toml": TAGGED})
    assert chosen(project, project.actions(), *names, tags=tags) == expected


def test_tags_that_choose_nothing(project: Workspace) -> None:
    """The error names the nearest tag, or says how images get tags."""
    project.write({"specs/a.toml": TAGGED})
    assert complaint(project, project.actions(), tags=["web", "heroes"]) == (
        'error: no image has the tag "heroes"\n  = tags: caf\u00e9, hero, web\n  = hint: did you mean "hero"?'
    )
    assert complaint(project, project.actions(), "a/icon", tags=["web"]) == "error: no selected cell has the tag web"
    project.write({"specs/a.toml": '[image.i]\nprompt = "x"\n'})
    assert complaint(project, project.actions(), tags=["web"]) == (
        'error: no image has the tag "web"\n  = hint: images get them by tags = ["web"]'
    )


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["puppies"], [*ICONS, "deep/puppies/poster"]),
        (["*/poster"], [*ICONS, "puppies/banner"]),
        (["specs/icons.toml", "puppies/poster", "deep/*"], ["puppies/banner"]),
        (["icons/icon[n=2]", "out/icons/icon-1.png", "puppies/*", "deep/*"], ["icons/icon[n=3]"]),
        (["puppies/poster[seed=1]", "icons", "deep/puppies", "puppies/banner"], poster(seeds="2")),
    ],
)
def test_what_is_excluded(project: Workspace, actions: list[Action], exclude: list[str], left: list[str]) -> None:
    """Every form of a name excludes what it selects."""
    assert sorted(chosen(project, actions, exclude=exclude)) == sorted(left)


def test_exclusions_narrow_names_tags_and_conditions(project: Workspace, actions: list[Action]) -> None:
    """A cell that is both selected and excluded is left out."""
    assert chosen(project, actions, "icons", where=["n=1,2"], exclude=["icons/icon[n=2]"]) == ["icons/icon[n=1]"]


def test_exclusions_that_leave_nothing_out_or_nothing_in(project: Workspace, actions: list[Action]) -> None:
    """Both are mistakes: one more image would be paid for, or none would be made."""
    assert complaint(project, actions, exclude=["icon"]) == (
        'error: nothing is named "icon"\n'
        "  = images: deep/puppies/poster, icons/icon, puppies/poster, puppies/banner\n"
        '  = hint: did you mean "icons"?'
    )
    assert complaint(project, actions, "icons", exclude=["ic*"]) == (
        "error: no cell is left: --exclude ic* leaves out all that are selected"
    )


def test_a_spec_may_be_called_like_the_output_folder(project: Workspace) -> None:
    """Only a name that ends in .png is the path of an output."""
    project.write({"specs/out.toml": '[image.poster]\nprompt = "x"\n'})
    assert chosen(project, project.actions(), "out/poster") == ["out/poster"]


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_each_action_is_in_one_shard(actions: list[Action], of: int) -> None:
    """The shards together are all actions, and each keeps their order."""
    shards = [shard(actions, number, of) for number in range(1, of + 1)]
    assert sorted(action.name for part in shards for action in part) == sorted(action.name for action in actions)
    assert [part for part in shards if part != [action for action in actions if action in part]] == []


def test_actions_with_one_request_share_a_shard(project: Workspace) -> None:
    """If equal requests were in different shards, two machines would render the same image."""
    text = '[image.{0}]\nprompt = "same"\nmatrix.seed = {{ start = 1, count = 20 }}\n'
    project.write({"specs/a.toml": text.format("one") + text.format("two")})
    for number in (1, 2, 3):
        part = shard(project.actions(), number, 3)
        keys = [action.key for action in part]
        assert [keys.count(key) for key in keys] == [2] * len(part)


@pytest.mark.parametrize(("number", "of"), [(0, 2), (3, 2), (-1, 2), (1, 0)])
def test_a_shard_that_does_not_exist(actions: list[Action], number: int, of: int) -> None:
    """The hint shows how to write a shard."""
    with pytest.raises(UsageError) as caught:
        shard(actions, number, of)
    assert str(caught.value) == f"error: there is no shard {number}/{of}\n  = hint: 1/4 is the first of four"


STRANGE = [
    "*",
    "?",
    "a*",
    "ab",
    "[ab]",
    "a",
    "x,y=1",
    "x",
    "it's",
    '"',
    "\\",
    "]",
    "[",
    "a=b",
    " ",
    "é",
    "x.png",
    "名, 字",
    "e\u0301",
]


def test_a_printed_name_means_exactly_its_cell(project: Workspace) -> None:
    """Its values may hold globs, brackets, commas and quotes."""
    matrix = json.dumps(STRANGE, ensure_ascii=False)
    project.write({"specs/a.toml": f'[image.i]\nprompt = "x"\nmatrix = {{ w = {matrix}, y = [1, 2] }}\n'})
    actions = project.actions()
    for action in actions:
        assert select(actions, Options(select=[action.name]), project.project) == [action]


def test_the_name_of_an_image_may_be_that_of_a_spec(project: Workspace) -> None:
    """`a/b` is the image `b` of the spec `a`, if that is a cell, and not the spec `b` in the folder `a`."""
    project.write({"qwenbuild.toml": 'specs = "specs/**/*.toml"\n', "specs/a.toml": '[image.b]\nprompt = "x"\n',
                   "specs/a/b.toml": '[image.c]\nprompt = "x"\n'})  # fmt: skip
    actions = project.actions()
    assert chosen(project, actions, "a/b") == ["a/b"]
    assert chosen(project, actions, "specs/a/b.toml") == ["a/b/c"]


def test_a_name_without_its_quotes_is_known(project: Workspace) -> None:
    """Shells take away the quotes of a name that is pasted. If two cells could be meant, none is."""
    values = ["x,y", 'a "b"', "x,v=2", "x"]
    project.write({"specs/a.toml": f'[image.i]\nprompt = "x"\nmatrix = {{ w = {json.dumps(values)}, v = [1, 2] }}\n'})
    actions = project.actions()
    for action in actions[:4]:
        assert select(actions, Options(select=[action.name.replace('"', "").replace("\\", "")]), project.project) == [
            action
        ]
    assert chosen(project, actions, "a/i[v=1,w=x,v=2]") == ['a/i[v=1,w="x,v=2"]']
    assert "not a cell's name: a/i[w=x,z]" in complaint(project, actions, "a/i[w=x,z]")


def test_paths_start_where_the_command_starts(project: Workspace) -> None:
    """A path may start in the working folder, or at the root, as messages print it."""
    actions = project.write(FILES).write({"specs/deep/x": ""}).actions()
    here = find(project.root / "specs" / "deep")
    for path in ("puppies.toml", "specs/deep/puppies.toml", str(project.root / "specs/deep/puppies.toml")):
        assert [action.name for action in select(actions, Options(select=[path]), here)] == ["deep/puppies/poster"]
    for path in ("../../out/deep/puppies/poster.png", "out/deep/puppies/poster.png", "./out/deep/puppies/poster.png"):
        assert [action.name for action in select(actions, Options(select=[path]), here)] == ["deep/puppies/poster"]


def test_unicode_forms_of_a_name_are_one(project: Workspace) -> None:
    """macOS gives names in another form of Unicode than keyboards do."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    project.write(
        {f"specs/{decomposed}.toml": f'[image.i]\nprompt = "x"\nmatrix."{composed}" = ["{decomposed}", "b"]\n'}
    )
    actions = project.actions()
    for text in (composed, decomposed):
        assert select(actions, Options(select=[text]), project.project) == actions
        assert select(actions, Options(select=[f"{text}/i[{text}={text}]"]), project.project) == actions[:1]
        assert select(actions, Options(select=[f"out/{text}/i-{text}.png"]), project.project) == actions[:1]
        assert select(actions, Options(select=[f"specs/{text}.toml"]), project.project) == actions
        assert select(actions, Options(where=[f"{text}=b"]), project.project) == actions[1:]
