"""The user's hooks in a twin: those that only observe are left out.

A hook that returns or writes an output is part of the network. A hook that only records activations is not, and would
also record triscope's passes. To tell them apart, the bytecode of a hook is analysed: it is left out if it can only
return None, and writes only to objects outside the module. In doubt, a hook is kept. Pre-hooks (weight and spectral
norm, pruning) are always kept, and so are hooks of the library that made the network: those of transformers record
hidden states, which the network itself reads.
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
#: The attributes in which a module keeps its hooks.
HOOKS = (*_TABLES, "_forward_pre_hooks", "_backward_pre_hooks")
_RECORDING = frozenset(("append", "appendleft", "extend", "update", "insert", "__setitem__"))
_SKIPPED = frozenset(("RESUME", "COPY_FREE_VARS", "MAKE_CELL", "PUSH_NULL", "PRECALL", "CACHE", "NOP", "NOT_TAKEN"))
_MOST = 10_000  # objects of a module that are visited
#: Where packages are installed.
_INSTALLED = ("site-packages", "dist-packages")


def leave_out_observers(module: nn.Module, copies: Mapping[int, Any]) -> None:
    """Remove hooks that only observe from the copy of `module`; `copies` has the copies of objects by their ids.

    In the closures of other hooks, objects of the module are replaced by their copies.
    """
    own: set[int] | None = None
    libraries = {type(part).__module__.partition(".")[0] for part in module.modules()} - {"torch"}
    for part in module.modules():
        ours = copies.get(id(part))
        for table in _TABLES if isinstance(ours, nn.Module) else ():
            for key, hook in list(getattr(part, table).items()):
                own = _objects_of(module) if own is None else own
                if _only_observes(hook, own) and not _is_of(libraries, hook):
                    for name in [name for name in vars(ours) if name.startswith(table)]:
                        vars(ours)[name].pop(key, None)
                elif isinstance(hook, types.FunctionType) and key in getattr(ours, table):
                    getattr(ours, table)[key] = _enclosing_copies(hook, copies)


def _only_observes(hook: object, own: set[int]) -> bool:
    """Whether a hook changes nothing of a module whose objects have the ids `own`."""
    function, bound = _function(hook)
    if function is None:
        return False
    enclosed = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    if any(id(one) in own for one in (*enclosed, *bound)):
        return False
    return _returns_nothing(function.__code__, bool(bound)) and _writes_elsewhere(function.__code__, bool(bound))


def _is_of(libraries: set[str], hook: object) -> bool:
    """Whether a hook is a function of one of these packages, and lies in a folder of installed packages."""
    function, _ = _function(hook)
    return (
        function is not None
        and function.__module__.partition(".")[0] in libraries
        and any(folder in Path(function.__code__.co_filename).parts for folder in _INSTALLED)
    )


def _function(hook: object) -> tuple[types.FunctionType | None, list[object]]:
    """The Python function of a hook (None if it has none), and the objects that it is bound to."""
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
    """Whether code can only return None, including the result of `append` and similar methods."""
    if code.co_flags & 0x1A0:  # generators and coroutines
        return False
    steps = _steps(code)
    for number, step in enumerate(steps):
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return False
        if step.opname == "RETURN_VALUE":
            before = steps[number - 1]
            none = before.opname == "LOAD_CONST" and before.argval is None
            if step.is_jump_target or not (none or (number == len(steps) - 1 and _records(steps, code, bound))):
                return False
    return True


def _records(steps: Sequence[dis.Instruction], code: types.CodeType, bound: bool) -> bool:
    """Whether code without branches is one call of a function that returns None, such as `kept.append(output)`."""
    if any("JUMP" in step.opname for step in steps) or not steps[-2].opname.startswith("CALL"):
        return False
    called = list(takewhile(lambda step: step.opname in ("LOAD_METHOD", "LOAD_ATTR"), steps[1:]))
    if not called:
        return steps[0].opname == "LOAD_GLOBAL" and steps[0].argval == "print"
    return called[-1].argval in _RECORDING and _elsewhere(steps[0], code, bound)


def _elsewhere(step: dis.Instruction, code: types.CodeType, bound: bool) -> bool:
    """Whether an instruction loads an object that is not one of the hook's arguments; `self` does not count as one."""
    mine = bound and step.opname.startswith("LOAD_FAST") and step.argval == code.co_varnames[0]
    return mine or step.opname in ("LOAD_DEREF", "LOAD_GLOBAL")


def _writes_elsewhere(code: types.CodeType, bound: bool) -> bool:
    """Whether code never writes to its arguments, as in `output[0] = 0` or `output.mul_(2)`, nor to gradients."""
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
    """The index of the instruction that pushed the value that lies below `values` others before instruction `number`.

    -1 if it cannot be determined.
    """
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
    """The function with its closure replaced by the copies of the enclosed objects, if there are any."""
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
    """The ids of a module's parts, and of all objects in its attributes, without hooks.

    Numbers, texts and the like are left out, since equal ones may be one object.
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
