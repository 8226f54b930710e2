"""Samples: every value of a vast matrix is in a cell that is checked."""

from __future__ import annotations

from qwenbuild.specs import samples
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.template import Templates
from tests.support.routes import family_of
from tests.support.workspace import Workspace


def claims(project: Workspace) -> list[str]:
    """Return the mistakes that samples show."""
    found = project.project
    findings = Findings()
    templates = Templates(found.templates, found.config.templates)
    samples.check(templates, project.declarations(), family_of("family"), findings)
    return [problem.claim for problem in findings.problems]


def test_each_value_of_a_vast_matrix_is_tried(project: Workspace) -> None:
    """A value that fails is told once, not for each of its cells."""
    rows = "".join(f"{number},{number % 7}\n" for number in range(20))
    project.write({"specs/rows.csv": "id,n\n" + rows, "specs/s.toml": '[image.a]\nprompt = "{{ 1 // (r.n | int) }}"\n'
                   'matrix = { r = { file = "rows.csv" }, seed = { count = 20_000 }, x = [1, 2] }\n'})  # fmt: skip
    assert claims(project) == ["template failed: integer division or modulo by zero"] * 3


def test_what_excludes_of_a_vast_matrix_name_is_checked(project: Workspace) -> None:
    """As long as its axes are not vast themselves. So is what its `only` entries name."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "x"\nmatrix = { n = { count = 200 }, m = { count = 200 } }\n'
                                   "[[image.a.exclude]]\nn = 999\n"})  # fmt: skip
    assert claims(project) == ['axis n has no value "999": this excludes nothing']
    project.write({"specs/s.toml": '[image.a]\nprompt = "x"\nmatrix = { n = { count = 200 }, m = { count = 200 } }\n'
                                   "only = [{ n = 999 }, { m = 1 }]\n"})  # fmt: skip
    assert claims(project) == ['axis n has no value "999": no cell matches this entry']
    project.write({"specs/s.toml": '[image.a]\nprompt = "x"\nmatrix.n = { count = 1_000_000_000_000 }\n'})
    assert claims(project) == []


def test_the_includes_of_an_image_without_a_matrix_are_tried(project: Workspace) -> None:
    """Each of them."""
    entries = "".join(f"[[image.a.include]]\nn = {number}\n" for number in range(10_001))
    project.write({"specs/s.toml": f'[image.a]\nprompt = "{{{{ 1 / (9000 - n) }}}}"\n{entries}'})
    assert claims(project) == ["template failed: division by zero"]


def test_small_matrices_are_expanded_as_a_whole(project: Workspace) -> None:
    """Their paths are compared, too."""
    project.write({"specs/s.toml": '[image.a]\nprompt = "x"\noutput = "a.png"\nmatrix.n = [1, 2]\n'})
    assert claims(project) == ["two cells have the same output: a.png"]
