"""Which fields of a request its author really wrote.

A tracked dataclass remembers the field names that were given to its constructor, assigned later, or present in the
mapping it was parsed from. Unset stays unset, so a request that sets six fields does not force its other schema
defaults over a preset. The memory lies in the instance's ``__dict__`` and survives ``copy.deepcopy`` and pickling.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fastvideo.api.errors import ConfigValidationError

if TYPE_CHECKING:
    from fastvideo.api.schema import GenerationRequest, RunConfig, ServeConfig

_EXPLICIT = "_explicit_fields"
T = TypeVar("T")


def tracked(cls: type[T]) -> type[T]:
    """Class decorator, outside ``@dataclass``: remember explicitly given fields."""
    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # applied to dataclasses only
    known = frozenset(names)
    original_init = cls.__init__
    original_setattr = cls.__setattr__

    @functools.wraps(original_init)
    def __init__(self: T, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop(_EXPLICIT, None)
        original_init(self, *args, **kwargs)
        self.__dict__[_EXPLICIT] = {*names[: len(args)], *kwargs}

    def __setattr__(self: T, name: str, value: Any) -> None:
        original_setattr(self, name, value)
        explicit = self.__dict__.get(_EXPLICIT)
        if explicit is not None and name in known:
            explicit.add(name)

    cls.__init__ = __init__  # type: ignore[method-assign,assignment]
    cls.__setattr__ = __setattr__  # type: ignore[method-assign,assignment]
    cls.__tracked__ = True  # type: ignore[attr-defined]
    return cls


def _is_tracked(value: Any) -> bool:
    return is_dataclass(value) and getattr(type(value), "__tracked__", False)


def _bind(value: Any, raw: Mapping[str, Any]) -> None:
    names = {f.name for f in fields(value)}
    value.__dict__[_EXPLICIT] = {key for key in raw if key in names}
    for name in names:
        child = getattr(value, name)
        if _is_tracked(child):
            given = raw.get(name)
            _bind(child, given if isinstance(given, Mapping) else {})


def bind_generation_request_raw(request: GenerationRequest, raw: Mapping[str, Any] | None) -> GenerationRequest:
    """Take the explicit fields from the mapping that the request was parsed from; None means that nothing was set."""
    _bind(request, raw or {})
    return request


def bind_run_config_raw(config: RunConfig, raw: Mapping[str, Any]) -> RunConfig:
    """Bind the ``request`` block of a run file."""
    bind_generation_request_raw(config.request, raw.get("request"))
    return config


def bind_serve_config_raw(config: ServeConfig, raw: Mapping[str, Any]) -> ServeConfig:
    """Bind the ``default_request`` block of a serve file."""
    bind_generation_request_raw(config.default_request, raw.get("default_request"))
    return config


def reset_tracking_roots(request: GenerationRequest) -> GenerationRequest:
    """Give ``request`` and its parts explicit sets of their own, after a shallow copy shared them."""
    for part in (request, *(getattr(request, f.name) for f in fields(request))):
        explicit = part.__dict__.get(_EXPLICIT) if _is_tracked(part) else None
        if explicit is not None:
            part.__dict__[_EXPLICIT] = set(explicit)
    return request


def is_bound(request: GenerationRequest) -> bool:
    """Whether the request knows which of its fields were set."""
    return _EXPLICIT in request.__dict__


def get_explicit_paths(request: GenerationRequest) -> frozenset[str]:
    """Dotted leaf paths that the author wrote (``sampling.seed``, ``stage_overrides.refine.image_crf``).

    Raises ValueError for a request that was built without its constructor and never bound.
    """
    if not is_bound(request):
        raise ValueError("the request does not know which fields were set: build it by its constructor or parse_config")
    return frozenset(_explicit_leaves(request, ""))


def _explicit_leaves(value: Any, prefix: str) -> Iterator[str]:
    explicit = value.__dict__.get(_EXPLICIT, set())
    for spec in fields(value):
        child = getattr(value, spec.name)
        path = f"{prefix}{spec.name}"
        if _is_tracked(child):
            yield from _explicit_leaves(child, f"{path}.")
        # A mapping that was filled in place after construction was written, too.
        elif spec.name in explicit or (isinstance(child, Mapping) and child):
            yield from _mapping_leaves(child, path)


def _mapping_leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _mapping_leaves(child, f"{path}.{key}")
    else:
        yield path


def value_at(request: GenerationRequest, path: str) -> Any:
    """The value at a dotted leaf path of :func:`get_explicit_paths`. Raises ConfigValidationError when absent."""
    value: Any = request
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif hasattr(value, name):
            value = getattr(value, name)
        else:
            raise ConfigValidationError(path, "the request has no such field")
    return value
