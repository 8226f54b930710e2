"""The mutation score: small changes to the code that the tests notice, in percent of all such changes.

mutmut makes the changes (mutants) in a copy of the repository below `build/mutation/`, and runs the tests of a function
against each change of it. It changes the bodies of functions, except of those with a decorator. Lines that only another
system or a broken disk can reach are left out. Tracebacks are Python's own: pytest would parse all mutants for each.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qwenbuild.digest import sha256

from . import equivalent
from .modules import LEFT_OUT, REPOSITORY, measured_by, source

WORK = REPOSITORY / "build" / "mutation"

_CONFIG = """
[tool.mutmut]
source_paths = ["qwenbuild"]
only_mutate = ["{source}"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = {arguments}
timeout_multiplier = 5.0
timeout_constant = 3.0
do_not_mutate_patterns = ["pragma: no cover", "sys[.]platform"]
use_git_change_detection = false
track_dependencies = false
"""

_ARGUMENTS = ("-n0", "-p", "no:cacheprovider", "--timeout=60", "--tb=native")

_KILLED = {"killed", "timeout", "segfault", "suspicious"}


def run(module: str, *, survivors: bool) -> Counter[str]:
    """Make and test the mutants of a module; return how many there are of each status.

    With `survivors`, only those mutants are tested that survived the last run; all of them if the code has changed.
    """
    folder = WORK / module
    arguments = [*_ARGUMENTS, *(f"--deselect={test}" for test in LEFT_OUT.get(module, ()))]
    config = _CONFIG.format(
        source=source(module), tests=json.dumps(measured_by(module)), arguments=json.dumps(arguments)
    )
    digest = sha256(REPOSITORY.joinpath(source(module)).read_bytes())
    project = f"{REPOSITORY.joinpath('pyproject.toml').read_text('utf-8')}{config}# code: {digest}\n"
    # Results of other code, or of other settings, say nothing.
    survivors = survivors and folder.is_dir() and folder.joinpath("pyproject.toml").read_text("utf-8") == project
    shutil.rmtree(folder / "mutants" / "tests" if survivors else folder, ignore_errors=True)
    folder.joinpath("mutants").mkdir(parents=True, exist_ok=True)  # Python ignores folders that it misses at its start
    for name in ("qwenbuild", "tests"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(REPOSITORY / name)
    (folder / "pyproject.toml").write_text(project, "utf-8")
    again = [name for name, status in statuses(module).items() if status not in _KILLED] if survivors else []
    # What a test starts with `sys.executable` imports the mutants, too.
    environ = {**os.environ, "PYTHONPATH": str(folder / "mutants"), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *again]
    with folder.joinpath("log").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=environ, stdout=log, stderr=log, check=False)
    if done.returncode:
        lines = folder.joinpath("log").read_text("utf-8", "replace").splitlines()
        sys.stderr.write("\n".join(["mutmut failed:", *lines[-30:], ""]))
    return Counter(statuses(module).values())


def statuses(module: str) -> dict[str, str]:
    """Return the status of each mutant of a module, as mutmut names it."""
    from mutmut.stats import status_by_exit_code

    path = WORK / module / "mutants" / f"{source(module)}.meta"
    if not path.exists():
        return {}
    codes = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return {name: status_by_exit_code[code] for name, code in codes.items()}


_SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for name in sys.argv[1:]:
    print("mutant", name)
    print(get_diff_for_mutant(name))
"""

_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|PRAGMA|CASE|VALUES|WHERE|NULL|ORDER BY)\b|\w = \?|intended_at_s\)", re.I)


def survivors_of(module: str) -> tuple[list[str], int]:
    """Return the surviving mutants of a module as diffs, and the number of equivalent ones, which are left out."""
    names = [name for name, status in statuses(module).items() if status not in _KILLED]
    command = [sys.executable, "-c", _SHOW, *names]
    shown = subprocess.run(command, cwd=WORK / module, capture_output=True, text=True, check=True).stdout
    diffs = re.split(r"^mutant ", shown, flags=re.MULTILINE)[1:]
    left = [diff for diff in diffs if not _is_equivalent(diff)]
    return left, len(diffs) - len(left)


def _is_equivalent(diff: str) -> bool:
    [before], [after] = (re.findall(rf"^[{sign}] (.*)$", diff, re.MULTILINE)[:1] or [""] for sign in "-+")
    is_case_of_sql = before.lower() == after.lower() and bool(_SQL.search(before))  # SQLite ignores the case of names
    return is_case_of_sql or bool(equivalent.reason(after))


def report(modules: Sequence[str], *, survivors: bool) -> int:
    """Measure the modules, print a table; return 1 if the score of one is below 90 %.

    The score is the share of killed mutants among those that are not equivalent.
    """
    sys.stdout.write("| module | mutants | killed | equivalent | survived | score |\n|---|---:|---:|---:|---:|---:|\n")
    low = False
    for module in modules:
        counts = run(module, survivors=survivors)
        row, score = scored(module, counts)
        low |= score < 90
        sys.stdout.write(row)
        sys.stdout.flush()
    sys.stdout.write(f"\nThe survivors of each module are in {WORK.relative_to(REPOSITORY)}/MODULE/survivors.diff\n")
    return int(low)


def scored(module: str, counts: Counter[str]) -> tuple[str, float]:
    """Return a module's row of the table, and its score in percent; write its survivors into a file."""
    left, same = survivors_of(module)
    WORK.joinpath(module, "survivors.diff").write_text("\n".join(left), "utf-8")
    killed = sum(counts[status] for status in _KILLED)
    score = 100 * killed / (killed + len(left)) if killed or left else 100.0  # some modules only declare data
    row = f"| `{module}` | {counts.total()} | {killed} | {same} | {len(left)} | {score:.1f} % |\n"
    return row, score
