"""Tests of conditions: `axis=glob`, alternatives, and `axis!=glob`."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.errors import UsageError
from qwenbuild.specs.action import Action
from qwenbuild.specs.cell_names import quoted
from qwenbuild.specs.conditions import alternatives, narrowed
from tests.support.workspace import Workspace

LABELS = ["sunset", "fresh greens", "a, b", "[draft]", "z"]
FILES = {
    "specs/puppies.toml": f"""
        [image.poster]
        prompt = "{{{{ palette }}}}"
        matrix = {{ palette = {json.dumps(LABELS)}, size = ["1:1", "16:9"], seed = [1, 2] }}
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
}


@pytest.fixture
def actions(project: Workspace) -> list[Action]:
    return project.write(FILES).actions()


def chosen(actions: list[Action], *where: str) -> list[str]:
    return [action.name for action in narrowed(actions, where, actions)]


def complaint(actions: list[Action], *where: str) -> str:
    with pytest.raises(UsageError) as caught:
        narrowed(actions, where, actions)
    return str(caught.value)


def poster(palettes: str = 'sunset|fresh greens|"a, b"|"[draft]"|z', seeds: str = "12", sizes: str = "") -> list[str]:
    wanted = sizes.split() or ["1328x1328", "1664x928"]
    return [f"puppies/poster[palette={palette},seed={seed},size={size}]"
            for palette in palettes.split("|") for size in wanted for seed in seeds]  # fmt: skip


ICONS = ["icons/icon[n=1]", "icons/icon[n=2]", "icons/icon[n=3]"]
BANNER = ["puppies/banner"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (("seed=1",), poster(seeds="1")),
        (("seed=1", "seed=7"), [*poster(seeds="1"), *BANNER]),
        (("palette=sunset", "seed=1"), poster("sunset", "1")),
        (("palette=*g*",), poster("fresh greens")),
        (("palette=[draft]",), poster('"[draft]"')),
        (("size=16:9", "palette=sunset"), poster("sunset", sizes="1664x928")),
        (("size=1664x928", "palette=sunset"), poster("sunset", sizes="1664x928")),
        (("size=1664*928", "palette=sunset"), poster("sunset", sizes="1664x928")),
        (("ratio=16:9", "palette=sunset"), poster("sunset", sizes="1664x928")),
        (("size=1664*", "palette=sunset"), poster("sunset", sizes="1664x928")),
        (("model=*2.0",), ICONS),
        (("n=2", "n=3"), ICONS[1:]),
        (("n=*",), ICONS),
        ((" n =2",), ["icons/icon[n=2]"]),
    ],
)
def test_conditions(actions: list[Action], where: tuple[str, ...], expected: list[str]) -> None:
    """Conditions on one axis are alternatives, conditions on several axes must all hold; fields count as axes."""
    assert chosen(actions, *where) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("n=2,3", ICONS[1:]),
        ("n=3, 1", [ICONS[0], ICONS[2]]),
        ("seed=1,7", [*poster(seeds="1"), *BANNER]),
        ("palette=s*,fresh*", poster("sunset|fresh greens")),
        ("palette=a, b", poster('"a, b"')),  # a value as it stands
        ("palette=a, ?", poster('"a, b"')),  # a glob that fits a value as it stands
        ('palette="a, b"', poster('"a, b"')),
        ('palette="a, b",sunset', poster('sunset|"a, b"')),
        ('palette= sunset , "a, b"', poster('sunset|"a, b"')),
        ("size=1:1,16:9", [*ICONS, *poster(), *BANNER]),
    ],
)
def test_alternatives(actions: list[Action], where: str, expected: list[str]) -> None:
    """Commas separate alternatives, except in quotes and in a text that is a value."""
    assert chosen(actions, where) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (("seed!=1",), [*ICONS, *poster(seeds="2"), *BANNER]),
        (("seed!=1,2",), [*ICONS, *BANNER]),
        (("seed!=1", "seed!=2"), [*ICONS, *BANNER]),
        (("n!=2",), [ICONS[0], ICONS[2], *poster(), *BANNER]),
        (("n=*", "n!=[12]"), ICONS[2:]),
        (("n=1", "n=2", "n!=2"), ICONS[:1]),
        (("palette=*", "palette!=a, b", "seed=1"), poster('sunset|fresh greens|"[draft]"|z', "1")),
        (("palette=*", 'palette!="a, b",s*,f*,[draft]'), poster("z")),
        (("palette=*", "size!=16:9"), poster(sizes="1328x1328")),
        (("size!=1664x928,1328*1328",), ICONS),
        (("model!=*2.0", "palette!=*"), BANNER),
        (("n !=2", "n=*"), [ICONS[0], ICONS[2]]),
    ],
)
def test_conditions_that_exclude(actions: list[Action], where: tuple[str, ...], expected: list[str]) -> None:
    """All conditions with `!=` must hold. A cell without the axis fits them."""
    assert sorted(chosen(actions, *where)) == sorted(expected)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("sead!=1", 'error: no image has an axis "sead"\n'
                    "  = axes: model, n, palette, ratio, seed, size\n"
                    '  = hint: did you mean "seed"?'),
        ("!=1", 'error: not a condition: "!=1"\n'
                '  = hint: write -w AXIS=VALUE, such as -w seed=1 or -w "size=16:9"'),
        ("n=7,8", "error: no cell has n=7\n  = values: 1, 2, 3"),
        ("n=1,9", "error: no cell has n=9\n  = values: 1, 2, 3"),
        ("n!=1,4", "error: no cell has n=4: n!=1,4 excludes nothing\n  = values: 1, 2, 3"),
        ("palette!=sunst", "error: no cell has palette=sunst: palette!=sunst excludes nothing\n"
                           "  = values: [draft], a, b, fresh greens, sunset, z\n"
                           '  = hint: did you mean "sunset"?'),
    ],
)  # fmt: skip
def test_conditions_that_match_nothing(actions: list[Action], where: str, expected: str) -> None:
    """A value to exclude that no cell has is a mistake: one more image would be paid for."""
    assert complaint(actions, where) == expected


@given(st.lists(st.text(max_size=5) | st.text('a,"\\ *[', max_size=5), min_size=1, unique=True))
def test_quoted_alternatives_are_read_back(labels: list[str]) -> None:
    """Quoted as in cell names, any labels can be alternatives."""
    written = ",".join(map(quoted, labels))
    assert alternatives(written, {*()}) == labels


PALETTES = ["sunset", "mint", "sea", "night"]
_PLAIN = st.sampled_from(["sunset", "mint", "sea", "s*", "?ea", "*"])
_CONDITION = st.tuples(st.booleans(), st.lists(_PLAIN, min_size=1, max_size=3))


@pytest.fixture(scope="module")
def palettes(tmp_path_factory: pytest.TempPathFactory) -> list[Action]:
    spec = f'[image.x]\nprompt = "p"\nmatrix.palette = {json.dumps(PALETTES)}\n'
    place = Workspace(tmp_path_factory.mktemp("project"))
    return place.write({"qwenbuild.toml": "", "specs/a.toml": spec}).actions()


@given(conditions=st.lists(_CONDITION, max_size=4))
def test_any_conditions_on_one_axis(palettes: list[Action], conditions: list[tuple[bool, list[str]]]) -> None:
    """A cell fits if its value matches any of the wanted globs, if there are any, and none of the unwanted ones."""
    wanted = [glob for is_not, globs in conditions for glob in globs if not is_not]
    unwanted = [glob for is_not, globs in conditions for glob in globs if is_not]
    expected = [
        label for label in PALETTES
        if (not wanted or any(fnmatchcase(label, glob) for glob in wanted))
        and not any(fnmatchcase(label, glob) for glob in unwanted)
    ]  # fmt: skip
    where = [f"palette{'!=' if is_not else '='}{','.join(globs)}" for is_not, globs in conditions]
    if expected:
        assert [action.labels[0] for action in narrowed(palettes, where, palettes)] == expected
    else:
        assert "no cell matches" in complaint(palettes, *where)


def test_each_alternative_means_something(project: Workspace) -> None:
    """A slip in one of several values would choose fewer cells in silence."""
    project.write({"specs/a.toml": '[image.a]\nprompt = "x"\nmatrix.hue = ["red", "blue"]\n'})
    actions = project.actions()
    for where in (["hue=red,bleu"], ["hue=red", "hue=bleu"]):
        with pytest.raises(UsageError) as caught:
            narrowed(actions, where, actions)
        assert (caught.value.claim, caught.value.hint) == ("no cell has hue=bleu", 'did you mean "blue"?')
