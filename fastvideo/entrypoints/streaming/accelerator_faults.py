"""Errors after which a process cannot use its accelerator any more, told by their class: nothing here imports torch."""

from __future__ import annotations

from fastvideo.api.errors import GeneratorLost

# Of CUDA and HIP, which number them alike: errors of one call, after which others still work. An invalid value, no
# memory left, an impossible grid, a function or code that the device does not have, too many resources for one kernel.
_OF_ONE_CALL = frozenset({1, 2, 9, 98, 209, 701})


def accelerator_lost(error: BaseException) -> bool:
    """Whether the error, or one that led to it, leaves this process without its accelerator.

    An illegal memory access or a failed assertion on the device does: every later call fails as well, until the process
    is replaced. So does the loss of a process that has another part of the model. Running out of memory does not.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, GeneratorLost):
            return True
        if any(base.__name__ == "AcceleratorError" and _of_torch(base) for base in type(found).__mro__):
            return getattr(found, "error_code", None) not in _OF_ONE_CALL and "out of memory" not in str(found)
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return False


def _of_torch(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "torch"
