# SPDX-License-Identifier: MIT
"""Addresses as LLDB's users write them, without LLDB's own expressions: those may run code in the process.

    0x7f0123456780, $rdi, op, list->items[2], &frame, *pointer, one of these + N
    (char *) $rsp + 8, *(PyObject **) ($rsp + 8), ((PyObject *) 0x7f0123456780)->ob_type
"""

import re

import lldb
from tm_engine import Failure

NO_ADDRESS = (
    "it is neither a number, nor a register, nor the path of a variable that this frame knows, nor made of these by a"
    " cast, *, & or +"
)
CAST = re.compile(
    r"\(\s*(?:(?:const|volatile|struct|union)\s+)*(\w[\w:]*(?:\s+(?:char|short|int|long))*)\s*((?:\*\s*)*)\)\s*([\w$(*&].*)"
)


def evaluate(frame, target, expression):
    return _typed(frame, target, expression.strip())[0]


def _typed(frame, target, text):
    """(number, type); the type of a plain number is None, and one that LLDB does not know is invalid."""
    if text.startswith("(") and _closing(text) == len(text) - 1:
        return _typed(frame, target, text[1:-1].strip())
    try:
        return int(text, 0), None
    except ValueError:
        pass
    value = _variable(frame, target, text) or _pointee(frame, target, text)
    if value:
        return _number(value, text), value.GetType()
    if text.startswith("&"):
        value = _pointee(frame, target, text[1:].strip())
        if value:
            return value.GetLoadAddress(), value.GetType().GetPointerType()
    at = _sum(text)
    if at:
        number, kind = _typed(frame, target, text[:at].strip())
        offset = _typed(frame, target, text[at + 1 :].strip())[0] * _step(kind, text[:at].strip())
        return number + (offset if text[at] == "+" else -offset), kind
    match = CAST.fullmatch(text)
    if match:
        return _cast(target, match.group(1), match.group(2).count("*"), _typed(frame, target, match.group(3))[0])
    raise Failure(NO_ADDRESS)


def _closing(text):
    """Where the bracket closes that text begins with; -1: nowhere."""
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if not depth:
            return index
    return -1


def _sum(text):
    """Where the last + or - is that is neither in brackets, nor a sign, nor of an arrow; 0: nowhere."""
    depth = 0
    for index in range(len(text) - 1, 0, -1):
        depth += (text[index] in ")]") - (text[index] in "([")
        if not depth and text[index] in "+-" and text[index + 1 : index + 2] != ">":
            before = text[:index].rstrip()
            if before and before[-1] not in "+-*&(":
                return index
    return 0


def _variable(frame, target, path):
    """The SBValue that a variable path or a register names, or None."""
    if frame.IsValid():
        register = frame.FindRegister(path.lstrip("$"))
        if register.IsValid() and re.fullmatch(r"\$?\w+", path):
            variable = frame.FindVariable(path)
            if path.startswith("$") or not variable.IsValid():
                return register
        value = frame.GetValueForVariablePath(path)
        if value.IsValid():
            return value
    # a global of another file: LLDB finds only the head of the path
    match = re.fullmatch(r"([&*]*)((?:\w|::)+)(.*)", path)
    value = match and target.FindFirstGlobalVariable(match.group(2))
    if not value or not value.IsValid():
        return None
    if match.group(3):
        value = value.GetValueForExpressionPath(match.group(3))
    for operator in reversed(match.group(1)):
        value = value.AddressOf() if operator == "&" else value.Dereference()
    return value if value.IsValid() else None


def _pointee(frame, target, text):
    """The SBValue that *ADDRESS or (ADDRESS)->path means, or None if the text is neither."""
    member = ""
    if _sum(text):
        return None
    if text.startswith("*"):
        text = text[1:].strip()
    elif text.startswith("(") and text[_closing(text) + 1 :].lstrip().startswith("->"):
        end = _closing(text) + 1
        text, member = text[:end], "." + text[end:].lstrip()[2:]
    else:
        return None
    number, kind = _typed(frame, target, text)
    _step(kind, text)
    kind = kind.GetPointeeType() if kind is not None and kind.IsPointerType() else None
    if kind is None or not kind.GetByteSize():
        raise Failure("LLDB does not know what %s points to; try *(void **) %s" % (text, text))
    value = target.CreateValueFromAddress("pointee", lldb.SBAddress(number, target), kind)
    if member:
        value = value.GetValueForExpressionPath(member)
        if not value.IsValid():
            raise Failure("%s has no %s" % (kind.GetName(), member[1:]))
    return value


def _number(value, name):
    kind = value.GetType().GetCanonicalType()
    if kind.IsReferenceType():
        value = value.Dereference()
        kind = value.GetType().GetCanonicalType()
    if kind.IsArrayType():
        return value.GetLoadAddress()
    if kind.GetTypeClass() in (lldb.eTypeClassStruct, lldb.eTypeClassClass, lldb.eTypeClassUnion):
        raise Failure("it is a %s; try &%s" % (kind.GetName(), name))
    error = lldb.SBError()
    number = value.GetValueAsUnsigned(error, 0)
    if error.Fail():
        raise Failure("LLDB cannot read its value: %s" % (error.GetCString() or "no reason given"))
    if kind.GetTypeFlags() & lldb.eTypeIsFloat:
        raise Failure("it is a %s" % kind.GetName())
    return number


def _step(kind, text):
    """What + 1 adds, as in C."""
    if kind is None:
        return 1
    if not kind.IsValid():
        raise Failure("LLDB does not know the type of %s" % text)
    if kind.IsArrayType():
        return kind.GetArrayElementType().GetByteSize() or 1
    return (kind.GetPointeeType().GetByteSize() or 1) if kind.IsPointerType() else 1


def _cast(target, name, stars, number):
    basic = " ".join(name.split())
    kind = target.FindFirstType(basic)
    for _ in range(stars):
        kind = kind.GetPointerType()
    if stars or (kind.IsValid() and kind.IsPointerType()):
        return number, kind
    if not kind.IsValid() or not kind.GetTypeFlags() & lldb.eTypeIsInteger:
        raise Failure("%s is no type that an address can have, or LLDB does not know it" % basic)
    return number & ((1 << 8 * kind.GetByteSize()) - 1), None
