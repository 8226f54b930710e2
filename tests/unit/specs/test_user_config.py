"""The user's own config: read with places in its errors, and closed to projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenbuild.errors import ProjectError
from qwenbuild.specs import user_config
from qwenbuild.specs.project import find
from tests.support.workspace import Workspace


@pytest.fixture
def file() -> Path:
    """The path of the user's config; its folder exists."""
    path = user_config.path()
    assert path and path.parts[-2:] == ("qwenbuild", "config.toml")
    path.parent.mkdir(parents=True)
    return path


def complaint() -> str:
    with pytest.raises(ProjectError) as caught:
        user_config.read()
    return str(caught.value)


def test_what_the_user_says_about_a_provider(file: Path) -> None:
    """Without the file, or for another provider, the defaults hold."""
    assert user_config.read() == user_config.UserConfig()
    file.write_text("[providers.dashscope]\nsole_user = true\n")
    assert user_config.read().of_provider("dashscope").sole_user is True
    assert user_config.read().of_provider("other").sole_user is False


def test_an_unknown_key_is_refused_with_the_nearest_name(file: Path) -> None:
    """A key that is spelled wrongly would otherwise have no effect. All mistakes are shown at once."""
    file.write_text('provider = 1\n[providers.dashscope]\nsole_users = true\n[providers.x]\nsole_user = "yes"\n')
    text = complaint()
    assert 'unknown key "provider"' in text
    assert 'did you mean "providers"?' in text
    assert 'unknown key "sole_users" in [providers.dashscope]' in text
    assert 'did you mean "sole_user"?' in text
    assert "sole_user: wrong type, a text" in text
    assert f"{file}:3:1" in text


def test_a_file_that_can_not_be_read(file: Path) -> None:
    """It is never taken for an empty one."""
    file.write_text("[")
    assert "not valid TOML" in complaint()
    file.unlink()
    file.mkdir()
    assert str(file) in complaint()


@pytest.mark.parametrize(("name", "before"), [("qwenbuild.toml", ""), ("pyproject.toml", "tool.qwenbuild.")])
def test_a_project_may_not_say_it(tmp_path: Path, name: str, before: str) -> None:
    """The error shows the line in the project, and where the key belongs."""
    made = Workspace(tmp_path).write({name: f"[{before}providers.dashscope]\nsole_user = false\n"})
    with pytest.raises(ProjectError) as caught:
        find(made.root)
    assert str(caught.value) == (
        'error: "sole_user" in [providers.dashscope] is for your own config, not for a project\'s\n'
        f" --> {name}:2:1\n"
        "  |\n"
        "2 | sole_user = false\n"
        "  | ^^^^^^^^^\n"
        "  = a project's files may come from somebody else\n"
        f"  = hint: remove it here, and write it into {user_config.path()}"
    )
