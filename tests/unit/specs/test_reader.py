"""Tests of the reader: inputs, refusals, and the limit on new renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qwenbuild.catalogue import builtin
from qwenbuild.errors import ProjectError, TooManyRenders
from qwenbuild.provider import Provider, Settings
from qwenbuild.providers import null, registry
from qwenbuild.specs.read_cache import ReadCache
from qwenbuild.specs.reader import Reader, check_renders
from tests.support.routes import routes_of
from tests.support.workspace import Workspace

SPEC = """\
[image.poster]
template = "poster.j2"
matrix.copy = { file = "data/copy.csv" }
"""
FILES = {"specs/a.toml": SPEC, "specs/data/copy.csv": "id,t\nen,x\nzh,y\n", "templates/poster.j2": "{{ copy.t }}"}


def provider_of(name: str, project: Workspace) -> Provider:
    found = project.project
    return registry.create(name, Settings(found.config.providers.get(name, {}), builtin(), {}))


def reader_of(project: Workspace, *, max_renders: int = 10_000, cache: ReadCache | None = None) -> Reader:
    return Reader(project.project, routes_of(provider_of("null", project)), cache, max_renders)


@pytest.mark.parametrize("cached", [False, True])
def test_actions_come_with_the_paths_that_they_depend_on(project: Workspace, cached: bool) -> None:
    """The paths are config, specs and their folder, data files, templates, and the provider's own code."""
    project.write(FILES)
    actions, inputs = reader_of(project, cache=ReadCache() if cached else None).actions([{}])
    assert [action.output for action in actions] == ["a/poster-en.png", "a/poster-zh.png"]
    root = project.root
    assert set(inputs) == {
        root / "qwenbuild.toml", root / "specs", root / "specs/a.toml", root / "specs/data/copy.csv",
        root / "templates/poster.j2", Path(null.__file__),
    }  # fmt: skip


@pytest.mark.parametrize("cached", [False, True])
def test_inputs_are_known_after_a_mistake(project: Workspace, cached: bool) -> None:
    """A watch must notice the edit that corrects the mistake."""
    project.write({**FILES, "templates/poster.j2": "{{ nothing }}"})
    reader = reader_of(project, cache=ReadCache() if cached else None)
    with pytest.raises(ProjectError, match="undefined variable"):
        reader.actions([{}])
    assert {project.root / "templates/poster.j2", project.root / "specs/data/copy.csv"} <= set(reader.inputs)


def test_a_project_without_specs_is_an_error(project: Workspace) -> None:
    """The hint says how to write a first spec."""
    with pytest.raises(ProjectError) as caught:
        reader_of(project).specs()
    assert str(caught.value) == (
        "error: no specs: nothing matches specs/*.toml\n  = hint: `qwenbuild init` writes a first spec"
    )


def test_specs_are_read_again_only_if_their_text_changed(project: Workspace) -> None:
    """A cache keeps a spec while its file has the same text; a spec with problems is not kept."""
    project.write(FILES)
    cache = ReadCache()
    reader = reader_of(project, cache=cache)
    [first] = reader.specs()
    assert reader.specs()[0] is first
    project.write({"specs/a.toml": SPEC + "# a note\n"})
    assert reader.specs()[0].source.text == SPEC + "# a note\n"
    project.write({"specs/a.toml": "x = 1\n"})
    with pytest.raises(ProjectError):
        reader.specs()
    assert cache.take_spec(project.root / "specs/a.toml") is None


def test_a_model_that_the_provider_lacks_is_reported_once_for_each_image(project: Workspace) -> None:
    """The problem stands where the spec sets the model."""
    project.write({
        "qwenbuild.toml": '[providers.dashscope]\ninterface = "async"\ninterface_only = true\n',
        "specs/a.toml": 'model = "qwen-image-2.0"\n[image.a]\nprompt = "x"\nmatrix.seed = [1, 2, 3]\n',
    })  # fmt: skip
    reader = Reader(project.project, routes_of(provider_of("dashscope", project)), None, 10_000)
    with pytest.raises(ProjectError) as caught:
        reader.actions([{}])
    [problem] = caught.value.problems
    assert (str(problem.place), problem.facts) == ("specs/a.toml:1:9", ["cell: a/a[seed=1]"])


VAST = '[image.vast]\nprompt = "x"\nmatrix.n = { count = 1000000 }\n[image.small]\nprompt = "y"\n'


def test_a_vast_matrix_is_refused_before_it_is_expanded(project: Workspace) -> None:
    """The error names the largest matrix."""
    project.write({"specs/a.toml": VAST})
    with pytest.raises(TooManyRenders) as caught:
        reader_of(project).actions([{}])
    assert str(caught.value) == (
        "error: 1,000,001 new renders; at most 10,000 are allowed\n"
        "  = largest matrix: a/vast\n"
        "  = hint: --max-renders 1000001 allows them; smaller axes, `exclude` or `only` need fewer"
    )


def test_the_limit_hides_no_other_mistake(project: Workspace) -> None:
    """Mistakes are told in the same run, those of rows too; no vast matrix is expanded for it."""
    project.write({
        "specs/a.toml": VAST, "templates/t.j2": "{% if %}", "specs/rows.csv": "id,n\na,1\nb,0\nc,\x01\n",
        "specs/b.toml": '[image.rows]\nprompt = "{{ 1 // (r.n | int) }}"\n'
                        'matrix = { r = { file = "fine.csv" }, seed = { count = 20000 }, x = [1, 2] }\n'
                        '[[image.rows.exclude]]\ny = 1\n[image.syntax]\ntemplate = "t.j2"\n'
                        '[image.bad]\nprompt = "x"\nmatrix.r = { file = "rows.csv" }\n',
        "specs/fine.csv": "id,n\na,1\nb,0\n",
        "specs/c.toml": '[image.out]\nprompt = "x"\noutput = "same.png"\nmatrix.n = [1, 2]\n'
                        '[image.wide]\nprompt = "{{ nothing }}"\nmatrix.n = { count = 1000000000000 }\n',
    })  # fmt: skip
    with pytest.raises(ProjectError) as caught:
        reader_of(project).actions([{}])
    claims = [problem.claim for problem in caught.value.problems]
    assert [claim for claim in claims if "new renders" in claim] == [
        "1,000,001,080,004 new renders; at most 10,000 are allowed"
    ]
    assert sorted(claim.partition(":")[0] for claim in claims)[1:] == [
        'no axis "y" in the matrix of b/rows', "template failed", "template syntax",
        "the control character U+0001 can't be part of a text", "two cells have the same output",
        'undefined variable "nothing"',
    ]  # fmt: skip


def test_rendered_outputs_do_not_count_as_new(project: Workspace) -> None:
    """The next mapping of counts is read only if the mappings before it leave too many new renders."""
    project.write({"specs/a.toml": VAST.replace("1000000", "12000")})
    read: list[int] = []

    def counts() -> Iterator[Mapping[str, int]]:
        for known in (0, 5_000, 12_000):
            read.append(known)
            yield {"a/vast": known}

    actions, _ = reader_of(project).actions(counts())
    assert (len(actions), read) == (12_001, [0, 5_000])


@pytest.mark.parametrize(("renders", "most"), [(0, 0), (5, 5), (4, 5)])
def test_as_many_renders_as_allowed_are_no_error(renders: int, most: int) -> None:
    """The number of renders may be equal to the limit."""
    check_renders(renders, most)


def test_more_renders_than_allowed_are_an_error() -> None:
    """The hint says which option allows these renders, and how to need fewer."""
    with pytest.raises(TooManyRenders) as caught:
        check_renders(1200, 1000)
    assert str(caught.value) == (
        "error: 1,200 new renders; at most 1,000 are allowed\n"
        "  = hint: --max-renders 1200 allows them; -w AXIS=VALUE selects fewer"
    )
