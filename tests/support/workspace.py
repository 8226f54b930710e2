"""A project folder under test, and what its specs give: actions, or the text of the error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qwenbuild.errors import QwenbuildError
from qwenbuild.specs import expand, spec
from qwenbuild.specs.action import Action
from qwenbuild.specs.declaration import Declaration, declare
from qwenbuild.specs.findings import Findings
from qwenbuild.specs.output_paths import Record
from qwenbuild.specs.project import Project, find
from qwenbuild.specs.spec import Spec
from qwenbuild.specs.template import Templates
from tests.support.routes import family_of


@dataclass(frozen=True)
class Workspace:
    """A folder with a project."""

    root: Path

    def write(self, files: Mapping[str, str | bytes]) -> Workspace:
        """Write files by their path below the root; the line ends of a text stay unchanged."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    @property
    def project(self) -> Project:
        """The project, found anew each time."""
        return find(self.root)

    def specs(self, findings: Findings) -> list[Spec]:
        """Return the valid specs; problems are added to `findings`."""
        project = self.project
        loaded = [
            spec.load(path, project.shown(path), project.spec_name(path), findings) for path in project.spec_paths()
        ]
        return [one for one in loaded if one]

    def declarations(self) -> list[Declaration]:
        """Return every image with its axes; raises ProjectError."""
        findings = Findings()
        found = declare(self.project, self.specs(findings), findings)
        findings.raise_if_any()
        return found

    def actions(self, records: Mapping[str, Record] = {}, *, labelled: bool = False) -> list[Action]:
        """Return every action with the provider family `test-1`; raises ProjectError. `records` are the lock's."""
        findings, project = Findings(), self.project
        declarations = declare(project, self.specs(findings), findings)
        templates = Templates(project.templates, project.config.templates)
        routes = family_of("test-1", labelled=labelled)
        found = expand.expand(templates, declarations, routes, lambda: records, findings)
        findings.raise_if_any()
        return found

    def prompts(self) -> list[str]:
        """Return the prompt of every action."""
        return [action.request.prompt for action in self.actions()]

    def complaint(self) -> str:
        """Return the text of the error that the project raises."""
        try:
            found = self.actions()
        except QwenbuildError as error:
            return str(error)
        raise AssertionError(f"no error, but {len(found)} actions")
