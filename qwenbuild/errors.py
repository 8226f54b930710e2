"""The errors: every error that qwenbuild raises on purpose.

QwenbuildError                 claim, facts, hint; says whether it is retryable and whether it stops the run
├── UsageError                 the command line or an API argument is wrong                  (exit 2)
│   └── WrongSettings          keys of a provider's table are wrong: all of them             (exit 2)
├── ProjectError               specs, templates, data or config are wrong: all problems     (exit 2)
│   └── Untrusted              the project asks for what the user has not approved           (exit 2)
├── TooManyRenders             the matrix is larger than the user allowed                   (exit 2)
├── BudgetExceeded             the next request would pass the budget                       (stops the run)
├── ImageBudgetExceeded        it would pass the budget of its image: the others go on
├── LockError                  `qwenbuild.lock` and what it is compared with differ         (exit 3)
├── ProjectBusy                another build holds the project's lock                       (exit 2)
├── StateError                 `.qwenbuild/` can't be read or written                       (stops the run)
├── LedgerError                the ledger can't be used: nothing that costs money is sent        (stops the run)
├── StoreError                 the store can't be written (full disk, permissions)          (stops the run)
├── OutputError                a rendered image could not be written to its path
│   └── OutputChanged          somebody changed the file during the build: it was left alone
├── RemoteError                a request to the remote cache failed; a build goes on without the cache
│   └── RemoteUnreachable      the cache does not answer, or refuses access: further requests would fail, too
└── ProviderError              a provider could not make an image
    ├── Refused                the service refused this request; nothing was billed
    │   ├── Moderated          its moderation did: it would refuse the same request again
    │   └── ModelRefused       it refuses the model to this account: each image of the model would be refused
    ├── AccountError           key, quota or bill: no request of this run can succeed        (stops the run)
    ├── Throttled              the service asks for a slower pace                            (retryable)
    ├── ServiceFault           the service failed, and billed nothing                        (retryable)
    ├── Unreachable            no connection: nothing was sent                   (retryable, stops the run)
    ├── BadImage               the bytes are not the requested image                         (retryable)
    │   └── WrongSize          they are an image of another size                             (retryable)
    ├── AnswerLost             the answer never arrived: the request may have been billed
    └── ExecutorError          a cluster can't do any further free work                 (retryable, stops the run)

A message is a claim, aligned facts and a hint. `Problem` escapes control characters in messages, so that texts from
specs, templates or a service can't control a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

# Plugins import these names from this module, which defined them before `problems` existed.
from .problems import Place as Place
from .problems import Problem as Problem
from .problems import columns as columns
from .problems import did_you_mean as did_you_mean
from .problems import listing as listing
from .problems import nearest as nearest
from .problems import visible as visible


class QwenbuildError(Exception):
    """The root of all errors: a claim, the facts behind it, and a hint what to do.

    `name` is stable, and names the entry that `qwenbuild explain-error` shows: see `error_entries`.
    `retryable`: the same request may succeed later. `stops_run`: no other request of this run can succeed.
    `is_final`: the same request is not sent again, by later builds either, without the user's order.
    """

    name: str = "failed"  # what an error is called that is raised without a name: a class may have its own
    retryable: ClassVar[bool] = False
    stops_run: ClassVar[bool] = False
    is_final: ClassVar[bool] = False
    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        claim: str,
        *,
        name: str = "",
        place: Place | None = None,
        facts: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(claim)
        self.name = name or type(self).name
        self.claim = claim
        self.place = place
        self.facts = tuple(facts)
        self.hint = hint

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems to show, at least one."""
        return (Problem(self.claim, self.place, facts=self.facts, hint=self.hint, name=self.name),)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.problems))


class UsageError(QwenbuildError):
    """The command line, or an argument of the Python API, is wrong."""

    name = "wrong-usage"


class WrongSettings(UsageError):
    """Keys of a provider's table are wrong. `faults` are pairs of a key, and what is wrong with it."""

    def __init__(self, faults: Sequence[tuple[str, UsageError]]) -> None:
        first = faults[0][1]
        super().__init__(first.claim, name=first.name, facts=first.facts, hint=first.hint)
        self.faults = tuple(faults)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for _, error in self.faults for problem in error.problems)


class ProjectError(QwenbuildError):
    """Specs, templates, data files or config are wrong; `problems` has every problem of the project."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("a ProjectError needs at least one problem")
        super().__init__(problems[0].claim, name=problems[0].name)
        self._problems = tuple(problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._problems


class Untrusted(ProjectError):
    """The project asks for what the user has not approved: see `trust`. Nothing was sent, and nothing was read."""


class TooManyRenders(QwenbuildError):
    """The matrix would need more new renders than `--max-renders` allows."""

    name = "too-many-renders"


class BudgetExceeded(QwenbuildError):
    """The next request would cost more than the rest of the budget."""

    name = "over-budget"
    stops_run = True
    exit_code = 1


class ImageBudgetExceeded(QwenbuildError):
    """The next request would cost more than the rest of its image's own budget. Other images go on."""

    name = "over-image-budget"
    exit_code = 1


class LockError(QwenbuildError):
    """The lock differs from the plan or from the outputs."""

    name = "lock-outdated"
    exit_code = 3


class ProjectBusy(QwenbuildError):
    """Another build of the same project is running."""

    name = "project-busy"


class StateError(QwenbuildError):
    """The project's state can't be opened, read or written."""

    name = "state-unusable"
    stops_run = True


class LedgerError(QwenbuildError):
    """The ledger can't be opened, read or written: nothing that costs money is sent."""

    name = "ledger-unusable"
    stops_run = True


class StoreError(QwenbuildError):
    """The store can't be written; further renders would be lost."""

    name = "store-unusable"
    stops_run = True
    exit_code = 1


class OutputError(QwenbuildError):
    """An image is in the store, but could not be written to its output path."""

    name = "output-unwritable"
    exit_code = 1


class OutputChanged(OutputError):
    """Somebody changed an output during the build, so it was left alone: from now on it counts as edited."""

    name = "output-changed"


class ProviderError(QwenbuildError):
    """A provider could not make an image.

    `code` is the service's error code. `request_id` identifies the call to the service's support. Both are empty if
    unknown. `retry_after_s` is the delay in seconds that the service asks for.
    """

    name = "provider-failed"
    exit_code = 1

    def __init__(
        self,
        claim: str,
        *,
        name: str = "",
        facts: Sequence[str] = (),
        hint: str | None = None,
        code: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(claim, name=name, facts=facts, hint=hint)
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class Refused(ProviderError):
    """The service refused this request (moderation, parameters, access); nothing was billed."""

    name = "request-refused"


class Moderated(Refused):
    """The service's moderation refused the request, and would refuse it again."""

    name = "moderated"
    is_final = True


class ModelRefused(Refused):
    """The service refuses the model to this account, or has no such model: it would refuse each image of the model."""

    name = "access-denied"


class AccountError(ProviderError):
    """The account can't render: wrong key, no quota, an unpaid bill, or no access."""

    name = "account-refused"
    stops_run = True


class Throttled(ProviderError):
    """The service asks for a slower pace; the request was not accepted."""

    name = "throttled"
    retryable = True


class ServiceFault(ProviderError):
    """The service failed; the request was not accepted, or its task failed unbilled."""

    name = "service-failed"
    retryable = True


class Unreachable(ProviderError):
    """The service can't be reached: nothing was sent."""

    name = "unreachable"
    retryable = True
    stops_run = True


class BadImage(ProviderError):
    """The bytes are not the requested image: truncated, corrupt, of another type or size."""

    name = "bad-image"
    retryable = True


class WrongSize(BadImage):
    """The bytes are an image of another size than the requested one."""

    name = "wrong-size"

    @classmethod
    def kept(cls, wanted: object, got: object, *, is_free: bool = False) -> WrongSize:
        """Return the error of an image that is in the store, but has another size."""
        price = "" if is_free else ", and pays again"
        return cls(
            f"the image was made in another size: {got}, not {wanted}",
            facts=["it is kept in the store"],
            hint=f"`--accept-size` takes it as it is; `--retry-failed` renders it again{price}",
        )


class AnswerLost(ProviderError):
    """The request was sent and its answer never arrived: it may have been billed."""

    name = "answer-lost"


class ExecutorError(ProviderError):
    """A cluster can't do any further work: see `executor`. Its work costs nothing, so nothing was lost."""

    name = "executor-failed"
    retryable = True
    stops_run = True


class RemoteError(QwenbuildError):
    """A request to the remote cache failed; a build goes on without the cache."""

    name = "remote-failed"
    exit_code = 1


class RemoteUnreachable(RemoteError):
    """The remote cache does not answer, or refuses access: further requests would fail, too."""

    name = "remote-unreachable"


MOST_PROBLEMS = 20
"""The number of problems shown for each image; the others are counted."""


def in_order(problem: Problem) -> tuple[str, int, int]:
    """Return the sort key of a problem: file, line and column. Problems without a place come first."""
    place = problem.place
    return (place.path, place.line, place.column) if place else ("", 0, 0)
