"""Jinja's filters of lists and tables, counted.

Filters that Jinja makes lazy stay lazy: they give an iterator that counts each item when it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jinja2
from jinja2 import filters as jinjas
from jinja2.exceptions import FilterArgumentError, TemplateRuntimeError
from jinja2.runtime import Undefined

from .limits import MAX_CHARACTERS, LimitError, Meter
from .members import Members, Refused
from .operators import SIZED, Operators, reversed_items
from .plain_values import Group, key_of, named, text_of, weigh

_CALL_STEPS = 5  # of a filter or a test that is applied to an item


class ListFilters:
    """The filters of lists and tables."""

    def __init__(self, environment: jinja2.Environment, meter: Meter, operators: Operators, members: Members) -> None:
        self._environment, self._meter, self._operators, self._members = environment, meter, operators, members

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by the names that they have in templates."""
        return {
            "attr": self._attr, "batch": self._batch, "count": len, "d": jinjas.do_default,
            "default": jinjas.do_default, "dictsort": self._dictsort, "first": self._first, "groupby": self._groupby,
            "items": self._items, "join": self._join, "last": self._last, "length": len, "list": self._list,
            "map": self._map, "max": self._max, "min": self._min, "reject": self._reject,
            "rejectattr": self._rejectattr, "reverse": self._reverse, "select": self._select,
            "selectattr": self._selectattr, "slice": self._slice, "sort": self._sort, "sum": self._sum,
            "unique": self._unique,
        }  # fmt: skip

    # --- parts ---

    def _getter(self, attribute: Any, postprocess: Any = None, default: Any = None) -> Callable[[Any], Any]:
        """Return a function that finds an attribute, perhaps of an attribute, of an item."""
        if attribute is None and postprocess is None:
            return lambda item: item
        if isinstance(attribute, str):
            self._meter.spend(len(attribute))
        return jinjas.make_attrgetter(self._environment, attribute, postprocess, default)

    def _rounds(self, items: Any, attribute: Any = None) -> Any:
        steps = _CALL_STEPS + (len(attribute) >> 1 if isinstance(attribute, str) else 0)
        return self._operators.rounds(items, steps)

    def _ordered(self, items: list[Any], keys: list[Any], reverse: bool = False) -> list[int]:
        """Return the numbers of the items in the order of their keys."""
        weight = sum(weigh(self._meter, key) for key in keys)
        self._meter.spend(weight * len(keys).bit_length() >> 2)
        return sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)

    def _called(self, kind: str, functions: Any, name: Any) -> Callable[..., Any]:
        """Return the filter or test `name`; raises TemplateRuntimeError if there is none."""
        function = functions.get(name) if isinstance(name, str) else None
        if function is not None:
            return function  # type: ignore[no-any-return]
        if isinstance(name, Undefined):
            try:
                str(name)
            except jinja2.UndefinedError as error:
                raise TemplateRuntimeError(
                    f"No {kind} named {name!r}. ({error}; did you forget to quote the callable name?)"
                ) from None
        if not isinstance(name, str):
            raise TypeError(f"the name of a {kind} is a text, not {named(name)}")
        raise TemplateRuntimeError(f"No {kind} named {name!r}.")

    # --- filters ---

    def _attr(self, value: Any, name: str) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"attr takes a name, not {named(name)}")
        try:
            return self._members.of(value, name)
        except AttributeError:
            return self._environment.undefined(obj=value, name=name)
        except Refused as refused:
            message = f"{refused}\n{refused.hint or ''}"
            return self._environment.undefined(message, obj=value, name=name, exc=Refused)

    def _batch(self, value: Any, linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
        if linecount > MAX_CHARACTERS:
            raise LimitError(f"batch makes lists of at most {MAX_CHARACTERS:,}")
        self._meter.spend(max(0, linecount) if fill_with is not None else 0)
        yield from jinjas.do_batch(self._rounds(value), linecount, fill_with)

    def _slice(self, value: Any, slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
        self._meter.spend(max(0, slices))
        yield from jinjas.sync_do_slice(self._list(value), slices, fill_with)

    def _dictsort(
        self, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
    ) -> list[tuple[Any, Any]]:
        if by not in ("key", "value"):
            raise FilterArgumentError('You can only sort by either "key" or "value"')
        items = list(self._rounds(value.items() if isinstance(value, dict) else value))
        keys = [pair[by == "value"] for pair in items]
        keys = keys if case_sensitive else [jinjas.ignore_case(key) for key in keys]
        return [items[number] for number in self._ordered(items, keys, reverse)]

    def _first(self, value: Any) -> Any:
        for item in self._operators.rounds(value, 0):
            return item
        return self._environment.undefined("No first item, sequence was empty.")

    def _last(self, value: Any) -> Any:
        for item in reversed(value):
            return item
        return self._environment.undefined("No last item, sequence was empty.")

    def _groupby(self, value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False) -> list[Group]:
        exact = self._getter(attribute, default=default)
        items = list(self._rounds(value, attribute))
        keys = [exact(item) if case_sensitive else jinjas.ignore_case(exact(item)) for item in items]
        groups: list[Group] = []
        before: Any = object()
        for number in self._ordered(items, keys):
            if not groups or not self._operators.compare("eq", keys[number], before):
                groups.append(Group(exact(items[number]), []))
                before = keys[number]
            groups[-1].list.append(items[number])
        return groups

    def _items(self, value: Any) -> Iterator[Any]:
        if isinstance(value, Undefined):
            return
        if not isinstance(value, dict):
            raise TypeError("Can only get item pairs from a mapping.")
        yield from self._operators.rounds(value.items())

    def _join(self, value: Any, d: Any = "", attribute: Any = None) -> str:
        find = None if attribute is None else self._getter(attribute)
        texts = [
            item if type(item) is str else text_of(self._meter, item)
            for item in (self._rounds(value) if find is None else map(find, self._rounds(value, attribute)))
        ]
        between = text_of(self._meter, d)
        self._meter.produce(sum(map(len, texts)) + len(between) * max(0, len(texts) - 1))
        return between.join(texts)

    def _list(self, value: Any) -> list[Any]:
        return list(self._operators.rounds(value))

    def _map(self, value: Any, *arguments: Any, **named_: Any) -> Iterator[Any]:
        if not value:
            return
        find: Callable[[Any], Any]
        attribute = None
        if not arguments and "attribute" in named_:
            attribute, default = named_.pop("attribute"), named_.pop("default", None)
            if named_:
                raise FilterArgumentError(f"Unexpected keyword argument {next(iter(named_))!r}")
            find = self._getter(attribute, default=default)
        elif not arguments:
            raise FilterArgumentError("map requires a filter argument")
        else:
            function, rest = self._called("filter", self._environment.filters, arguments[0]), arguments[1:]
            find = lambda item: function(item, *rest, **named_)  # noqa: E731 - as in the branch above
        for item in self._rounds(value, attribute):
            yield find(item)

    def _min(self, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        return self._extreme(min, value, case_sensitive, attribute)

    def _max(self, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        return self._extreme(max, value, case_sensitive, attribute)

    def _extreme(self, choose: Callable[..., Any], value: Any, case_sensitive: bool, attribute: Any) -> Any:
        items = list(self._rounds(value, attribute))
        if not items:
            return self._environment.undefined("No aggregated item, sequence was empty.")
        find = self._getter(attribute, None if case_sensitive else jinjas.ignore_case)
        keys = [find(item) for item in items]
        for key in keys:
            weigh(self._meter, key)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    def _reverse(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._meter.read(value)[::-1]
        if type(value) in SIZED:
            return reversed_items(self._meter, value)
        try:
            return self._list(value)[::-1]
        except TypeError as error:
            raise FilterArgumentError("argument must be iterable") from error

    def _chosen(self, value: Any, arguments: tuple[Any, ...], named_: Any, wanted: bool, by: bool) -> Iterator[Any]:
        """Yield the items for which a test, perhaps of an attribute, gives `wanted`."""
        if not value:
            return
        if by and not arguments:
            raise FilterArgumentError("Missing parameter for attribute name")
        attribute = arguments[0] if by else None
        find, arguments = self._getter(attribute), arguments[1:] if by else arguments
        test: Callable[..., Any] = bool
        if arguments:
            test = self._called("test", self._environment.tests, arguments[0])
        rest = arguments[1:]
        for item in self._rounds(value, attribute):
            if bool(test(find(item), *rest, **named_)) is wanted:
                yield item

    def _select(self, value: Any, *arguments: Any, **named_: Any) -> Iterator[Any]:
        return self._chosen(value, arguments, named_, wanted=True, by=False)

    def _reject(self, value: Any, *arguments: Any, **named_: Any) -> Iterator[Any]:
        return self._chosen(value, arguments, named_, wanted=False, by=False)

    def _selectattr(self, value: Any, *arguments: Any, **named_: Any) -> Iterator[Any]:
        return self._chosen(value, arguments, named_, wanted=True, by=True)

    def _rejectattr(self, value: Any, *arguments: Any, **named_: Any) -> Iterator[Any]:
        return self._chosen(value, arguments, named_, wanted=False, by=True)

    def _sort(
        self, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
    ) -> list[Any]:
        items = list(self._rounds(value, attribute))
        if isinstance(attribute, str):
            self._meter.spend(len(attribute))
        find = jinjas.make_multi_attrgetter(
            self._environment, attribute, None if case_sensitive else jinjas.ignore_case
        )
        return [items[number] for number in self._ordered(items, [find(item) for item in items], reverse)]

    def _sum(self, value: Any, attribute: Any = None, start: Any = 0) -> Any:
        if isinstance(start, str):
            raise TypeError("can't add up texts: use | join")
        find = self._getter(attribute)
        for item in self._rounds(value, attribute):
            start = self._operators.plus(start, find(item))
        return start

    def _unique(self, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Iterator[Any]:
        find = self._getter(attribute, None if case_sensitive else jinjas.ignore_case)
        met: set[Any] = set()
        for item in self._rounds(value, attribute):
            key = key_of(self._meter, find(item), len(met))
            if key not in met:
                met.add(key)
                yield item
