"""Routes: which provider renders an image, in which region and over which interface.

One project may mix drafts, models of both interfaces, and other providers. Each route is made once, when it is first
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .catalogue import Catalogue
from .provider import Price, Provider, price_of
from .request import Size


class Choice(NamedTuple):
    """What an image says about its provider; an empty text leaves it to the command line and the config."""

    provider: str = ""
    region: str = ""
    interface: str = ""


DEFAULT = Choice()


class Routes:
    """The providers of one project with one set of options."""

    def __init__(
        self, default: Provider, make: Callable[[Choice], Provider], is_fixed: bool = False, name: str = "",
        catalogue: Callable[[Choice, Provider], Catalogue | None] = lambda choice, provider: None,
    ) -> None:  # fmt: skip
        """`default` is the provider of images that choose nothing; `make` makes any other one.

        With `is_fixed`, the user has named the provider of all images. `name` is what an image writes to choose the
        default provider. `catalogue` returns the models that a provider has instead of the project's catalogue.
        """
        self.default, self._make, self._is_fixed, self._name = default, make, is_fixed, name
        self._catalogue = catalogue
        self._made = {DEFAULT: default}

    @property
    def used(self) -> Mapping[Choice, Provider]:
        """The providers that were asked for so far, and the default."""
        return self._made

    @property
    def names(self) -> str:
        """The names of the providers, such as `dashscope, draft`."""
        return ", ".join(dict.fromkeys(provider.name for provider in self._made.values()))

    def catalogue(self, choice: Choice) -> Catalogue | None:
        """Return the catalogue of images with this choice; None: the project's."""
        return self._catalogue(choice, self.provider(choice))

    def price(self, choice: Choice, model: str, size: Size) -> Price | None:
        """Return what one image of a model costs in a size with this choice, None if it is free."""
        return price_of(self.provider(choice), model, size)

    def costs(self, choice: Choice, model: str) -> bool:
        """Return whether images of a model cost money with this choice."""
        return self.provider(choice).price(model) is not None

    def provider(self, choice: Choice) -> Provider:
        """Return the provider of images with this choice. Raises UsageError if there is none, or not with these."""
        if self._is_fixed or choice.provider == self._name:  # region and interface of an image still count
            choice = choice._replace(provider="")
        if choice not in self._made:
            self._made[choice] = self._make(choice)
        return self._made[choice]
