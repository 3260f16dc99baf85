"""Hooks that the user hung on a module, in its twin: those that only watch are left out.

What a hook returns, or writes into an output, is part of the network. One that notes what passes by is not, and would
note our questions, too. Nothing says which is which, so its code is read: it is left out where all it can return is
None, and all that it writes is outside of the module. Whatever is in doubt stays, and is called. Hooks that run before
a module (weight and spectral norm, pruning) stay in any case, and so do hooks of the library that made the network:
those of transformers note hidden states, which the network then reads.
"""

import dis
import functools
import types
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

_TABLES = ("_forward_hooks", "_backward_hooks")
#: Where a module keeps its hooks.
HOOKS = (*_TABLES, "_forward_pre_hooks", "_backward_pre_hooks")
_NOTING = frozenset(("append", "appendleft", "extend", "update", "insert", "__setitem__"))
_SKIPPED = frozenset(("RESUME", "COPY_FREE_VARS", "MAKE_CELL", "PUSH_NULL", "PRECALL", "CACHE", "NOP", "NOT_TAKEN"))
_MOST = 10_000  # objects that are looked through
#: Where packages are installed.
_INSTALLED = ("site-packages", "dist-packages")


def leave_out_watchers(module: nn.Module, copies: Mapping[int, Any]) -> None:
    """Take hooks that only watch off the copy of `module`; `copies` are the copies of objects by their identities.

    Of the others, what they enclose of the module is the copy's.
    """
    own: set[int] | None = None
    libraries = {type(part).__module__.partition(".")[0] for part in module.modules()} - {"torch"}
    for part in module.modules():
        ours = copies.get(id(part))
        for table in _TABLES if isinstance(ours, nn.Module) else ():
            for key, hook in list(getattr(part, table).items()):
                own = _objects_of(module) if own is None else own
                if _watches(hook, own) and not _is_of(libraries, hook):
                    for name in [name for name in vars(ours) if name.startswith(table)]:
                        vars(ours)[name].pop(key, None)
                elif isinstance(hook, types.FunctionType) and key in getattr(ours, table):
                    getattr(ours, table)[key] = _enclosing_copies(hook, copies)


def _watches(hook: object, own: set[int]) -> bool:
    """Whether a hook changes nothing of a module that has these objects of its own."""
    function, bound = _function(hook)
    if function is None:
        return False
    enclosed = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    if any(id(one) in own for one in (*enclosed, *bound)):
        return False
    return _returns_nothing(function.__code__, bool(bound)) and _writes_elsewhere(function.__code__, bool(bound))


def _is_of(libraries: set[str], hook: object) -> bool:
    """Whether a hook is a function of one of these packages, and that is installed: no file of the user's."""
    function, _ = _function(hook)
    return (
        function is not None
        and function.__module__.partition(".")[0] in libraries
        and any(folder in Path(function.__code__.co_filename).parts for folder in _INSTALLED)
    )


def _function(hook: object) -> tuple[types.FunctionType | None, list[object]]:
    """The function of Python behind a hook, and what it is bound to."""
    bound: list[object] = []
    while isinstance(hook, functools.partial):
        bound += [*hook.args, *hook.keywords.values()]
        hook = hook.func
    if isinstance(hook, types.MethodType):
        return (hook.__func__, [*bound, hook.__self__]) if isinstance(hook.__func__, types.FunctionType) else (None, [])
    if not isinstance(hook, types.FunctionType):
        call = vars(type(hook)).get("__call__")
        return (call, [*bound, hook]) if isinstance(call, types.FunctionType) else (None, [])
    return hook, bound


def _returns_nothing(code: types.CodeType, bound: bool) -> bool:
    """Whether all that code can return is None, as far as can be read: also what `append` and its kin give."""
    if code.co_flags & 0x1A0:  # generators and coroutines
        return False
    steps = _steps(code)
    for number, step in enumerate(steps):
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return False
        if step.opname == "RETURN_VALUE":
            before = steps[number - 1]
            none = before.opname == "LOAD_CONST" and before.argval is None
            if step.is_jump_target or not (none or (number == len(steps) - 1 and _notes(steps, code, bound))):
                return False
    return True


def _notes(steps: Sequence[dis.Instruction], code: types.CodeType, bound: bool) -> bool:
    """Whether code without branches is one call of a function that gives None, such as `kept.append(output)`."""
    if any("JUMP" in step.opname for step in steps) or not steps[-2].opname.startswith("CALL"):
        return False
    called = list(takewhile(lambda step: step.opname in ("LOAD_METHOD", "LOAD_ATTR"), steps[1:]))
    if not called:
        return steps[0].opname == "LOAD_GLOBAL" and steps[0].argval == "print"
    return called[-1].argval in _NOTING and _elsewhere(steps[0], code, bound)


def _elsewhere(step: dis.Instruction, code: types.CodeType, bound: bool) -> bool:
    """Whether what a step loads is nothing that a hook is given, but for the object that it is bound to."""
    mine = bound and step.opname.startswith("LOAD_FAST") and step.argval == code.co_varnames[0]
    return mine or step.opname in ("LOAD_DEREF", "LOAD_GLOBAL")


def _writes_elsewhere(code: types.CodeType, bound: bool) -> bool:
    """Whether code writes into nothing that it is given, by `output[0] = 0` or `output.mul_(2)`, nor into gradients."""
    if any(name == "register_hook" or (name.endswith("_") and not name.endswith("__")) for name in code.co_names):
        return False
    steps = list(dis.get_instructions(code))
    for number, step in enumerate(steps):
        if step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            place = _before(steps, number, 1)
        elif step.opname in ("STORE_ATTR", "DELETE_ATTR"):
            place = number - 1
        elif step.opname == "STORE_SLICE":
            return False
        else:
            continue
        while place > 0 and steps[place].opname == "LOAD_ATTR":
            place -= 1
        if place < 0 or not _elsewhere(steps[place], code, bound):
            return False
    return True


def _before(steps: Sequence[dis.Instruction], number: int, values: int) -> int:
    """The step that has pushed what is on the stack below so many values, when step `number` comes; -1 if unclear."""
    depth = 0
    for place in range(number - 1, -1, -1):
        if depth == values:
            return place
        step = steps[place]
        depth += dis.stack_effect(step.opcode, step.arg, jump=False)
    return -1


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname not in _SKIPPED]


def _enclosing_copies(hook: types.FunctionType, memo: Mapping[int, Any]) -> types.FunctionType:
    """The same function around the copies of what it encloses, as far as they were copied with the module."""
    closure = tuple(
        types.CellType(memo.get(id(cell.cell_contents), cell.cell_contents)) if _filled(cell) else cell
        for cell in hook.__closure__ or ()
    )
    if all(one.cell_contents is two.cell_contents for one, two in zip(closure, hook.__closure__ or (), strict=True)
           if _filled(two)):  # fmt: skip
        return hook
    made = types.FunctionType(hook.__code__, hook.__globals__, hook.__name__, hook.__defaults__, closure)
    made.__kwdefaults__ = hook.__kwdefaults__
    return made


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _objects_of(module: nn.Module) -> set[int]:
    """The identities of what a module holds, its hooks left aside: parts, and objects in its attributes, to any depth.

    Atoms have no identity of their own, and are left out.
    """
    found: set[int] = set()
    waiting: list[object] = list(module.modules())
    while waiting and len(found) < _MOST:
        one = waiting.pop()
        if id(one) in found or one is None or isinstance(one, int | float | str | bytes | type | types.ModuleType):
            continue
        found.add(id(one))
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set):
            waiting += one
        elif not isinstance(one, Tensor | types.FunctionType) and hasattr(one, "__dict__"):
            waiting += [value for name, value in vars(one).items() if not name.endswith("_hooks")]
    return found
