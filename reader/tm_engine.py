# SPDX-License-Identifier: MIT
"""The engine (libtm.so) for the Python inside a debugger: what gdb/ and lldb/ share.

Mirrors reader/tm.h with ctypes.  Standard library only, Python 3.8 syntax: it runs in whatever Python a debugger has.

    engine = load(folder_of_the_script)
    engine.run(target, ["top", "10"])       # target: a Target, which says where memory comes from and text goes
"""

import codecs
import ctypes
import json
import os
import re
import shlex
import time

VERSION = "0.1.0"  # of the engine that this file belongs to

STATUS_OK, STATUS_ERROR, STATUS_LOWER_BOUND = 0, 2, 3
OUT, ERR = 1, 2
PROGRESS_AFTER = 0.5  # seconds, which are not worth mentioning
FACE_STOPPED = 1
REGION_EXECUTE, REGION_WRITE, REGION_READ = 1, 2, 4
COMPLETE_WORDS, COMPLETE_FILE, COMPLETE_EXPRESSION = 0, 1, 2

# Where libtm.so lies, seen from a script's folder: beside it (one folder copied to another machine), in the source
# tree, installed below a prefix (PREFIX/share/tm/gdb and PREFIX/lib).
ENGINE_FOLDERS = ("", "../build/lib", "../lib", "../../../lib")


def region_flags(readable, writable, executable):
    return (REGION_READ if readable else 0) | (REGION_WRITE if writable else 0) | (REGION_EXECUTE if executable else 0)


class Failure(Exception):
    """A sentence for the user.  Never to be shown as a Python traceback."""


class Target:
    """What a face knows of the program it looks at.  Faces override what they can do."""

    core_file = None  # path, if the engine can read the core itself
    pid = 0  # of a live process on this machine, if the engine can read it itself
    process_id = 0  # of the process, wherever it runs or ran
    stopped = True
    width = 0
    colour = False
    progress = False  # whether somebody sees on the terminal how far long work is

    def read(self, address, size):
        """Bytes from the start of [address, address + size), perhaps fewer; b"" if there are none."""
        return b""

    def regions(self):
        """(start, end, flags, path or None) of each mapping; Failure if there is nothing at all."""
        return ()

    def write(self, stream, text):
        raise NotImplementedError

    def evaluate(self, expression):
        """The address that an expression means, without running code in the target; Failure if there is none."""
        raise Failure("%s is not a number" % expression)

    def interrupted(self):
        return False

    def symbol(self, name):
        """Address of a symbol, or None."""
        return None


# ---- reader/tm.h -----------------------------------------------------------------------------------------------------

_add_region = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_char_p
)
_add_completion = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
_read = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
_regions = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, _add_region, ctypes.c_void_p)
_write = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint64)
_evaluate = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.c_void_p,
    ctypes.c_uint64,
)
_interrupted = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_progress = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)
_symbol = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint64))


class _Face(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("data", ctypes.c_void_p),
        ("read", _read),
        ("regions", _regions),
        ("write", _write),
        ("evaluate", _evaluate),
        ("interrupted", _interrupted),
        ("symbol", _symbol),
        ("core_file", ctypes.c_char_p),
        ("pid", ctypes.c_int32),
        ("width", ctypes.c_uint32),
        ("colour", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("progress", _progress),
        ("process", ctypes.c_int32),
        ("reserved_too", ctypes.c_uint32),
    ]


def _words(argv):
    words = [word.encode("utf-8", "surrogateescape") for word in argv]
    return (ctypes.c_char_p * (len(words) + 1))(*words, None), len(words)


class _Call:
    """One call of the engine: a target behind C callbacks.

    No exception may leave a callback, because ctypes would print a traceback and go on: each one becomes a return value
    here, and what the user must hear of it is kept for afterwards.
    """

    def __init__(self, target):
        self.target = target
        self.errors = []  # text of stream 2
        self.stopped = False  # Ctrl-C
        self.quit = False  # the user, or what the text goes to, wants no more of it
        self.failure = None
        self.started, self.shown = time.monotonic(), 0
        self.decoders = {OUT: codecs.getincrementaldecoder("utf-8")("replace")}
        self.face = _Face(
            size=ctypes.sizeof(_Face),
            flags=FACE_STOPPED if target.stopped else 0,
            read=_read(self.read),
            regions=_regions(self.regions),
            write=_write(self.write),
            evaluate=_evaluate(self.evaluate),
            interrupted=_interrupted(self.interrupted),
            symbol=_symbol(self.symbol),
            core_file=os.fsencode(target.core_file) if target.core_file else None,
            pid=target.pid,
            width=target.width,
            colour=1 if target.colour else 0,
            progress=_progress(self.progress) if target.progress else _progress(),
            process=target.process_id,
        )

    def read(self, _data, address, buffer, size):
        try:
            block = memoryview(self.target.read(address, size) or b"")[:size].cast("B")
            if block:
                memoryview((ctypes.c_char * len(block)).from_address(buffer)).cast("B")[:] = block
            return len(block) or -1
        except KeyboardInterrupt:
            self.stopped = True
        except Exception:  # whatever a debugger raises: these bytes cannot be had
            pass
        return -1

    def regions(self, _data, add, context):
        try:
            for start, end, flags, path in self.target.regions():
                add(context, start, end, flags, os.fsencode(path) if path else None)
            return 0
        except KeyboardInterrupt:
            self.stopped = True
        except Failure as error:  # there is nothing to look into
            self.failure = error
        except Exception:
            pass
        return -1

    def progress(self, _data, done, total):
        try:
            now = time.monotonic()
            if now - self.started >= PROGRESS_AFTER and now - self.shown >= 0.1:
                percent = min(100, done * 100 // total) if total else 0
                os.write(2, b"\r\x1b[Ktm: %d blocks, %d%%" % (done, percent))
                self.shown = now
        except KeyboardInterrupt:
            self.stopped = True
        except Exception:
            pass

    def hide_progress(self):
        if self.shown:
            os.write(2, b"\r\x1b[K")
        self.shown = 0

    def write(self, _data, stream, address, size):
        try:
            self.hide_progress()
            chunk = ctypes.string_at(address, size)
            if stream == ERR:
                self.errors.append(chunk)
                return 0
            self.target.write(OUT, self.decoders[OUT].decode(chunk))
            return 0
        except KeyboardInterrupt:  # "q" at GDB's pager
            self.quit = True
        except Exception as error:
            self.failure = error
        return -1

    def evaluate(self, _data, expression, ret, message, room):
        try:
            address = self.target.evaluate(expression.decode("utf-8", "surrogateescape"))
            if not -(1 << 63) <= address < 1 << 64:
                raise Failure("no address has more than 64 bits")
            ret[0] = address & 0xFFFFFFFFFFFFFFFF
            return 0
        except KeyboardInterrupt:
            self.stopped = True
        except Exception as error:
            if message and room:
                text = str(error).strip().rstrip(".").encode("utf-8", "replace")[: room - 1]
                # cut at a character, not in it
                text = text.decode("utf-8", "ignore").encode("utf-8") + b"\0"
                ctypes.memmove(message, text, len(text))
        return -1

    def interrupted(self, _data):
        try:
            self.stopped = self.stopped or bool(self.target.interrupted())
        except KeyboardInterrupt:
            self.stopped = True
        except Exception:
            pass
        return int(self.stopped)

    def symbol(self, _data, name, ret):
        try:
            address = self.target.symbol(name.decode())
            if address is not None:
                ret[0] = address & 0xFFFFFFFFFFFFFFFF
                return 0
        except KeyboardInterrupt:
            self.stopped = True
        except Exception:
            pass
        return -1


class Engine:
    def __init__(self, library):
        library.tm_version.restype = ctypes.c_char_p
        library.tm_commands.restype = ctypes.c_char_p
        library.tm_command.restype = ctypes.c_int32
        library.tm_command.argtypes = [ctypes.POINTER(_Face), ctypes.c_int32, ctypes.POINTER(ctypes.c_char_p)]
        library.tm_complete.restype = ctypes.c_int32
        library.tm_complete.argtypes = [
            ctypes.POINTER(_Face),
            ctypes.c_int32,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_char_p,
            _add_completion,
            ctypes.c_void_p,
        ]
        self._library = library
        self.version = library.tm_version().decode()
        if self.version != VERSION:  # before anything else is made of what it says
            raise Failure(
                "is version %s, but the script is version %s.  Use the two that came together" % (self.version, VERSION)
            )
        table = json.loads(library.tm_commands().decode())
        self.verbs = [verb for verb in table if not verb.get("command_line_only")]

    def run(self, target, argv):
        """Runs a command.  Returns its status (OK or LOWER_BOUND); raises Failure, or KeyboardInterrupt for Ctrl-C."""
        call = _Call(target)
        words, count = _words(argv)
        status = self._library.tm_command(call.face, count, words)
        call.hide_progress()
        if call.stopped:
            raise KeyboardInterrupt
        if call.failure is not None:
            raise call.failure
        if call.quit:
            return STATUS_OK
        errors = b"".join(call.errors).decode("utf-8", "replace")
        if status not in (STATUS_OK, STATUS_LOWER_BOUND):
            raise Failure(errors.rstrip("\n") or "tm: %s failed with status %d" % (argv[0], status))
        if errors:
            target.write(ERR, errors)
        return status

    def answer(self, target, argv):
        """What a command says with --json, as Python has it."""
        written = []
        target.write = lambda stream, text: written.append(text) if stream == OUT else None
        self.run(target, argv + ["--json"])
        return json.loads("".join(written))

    def complete(self, target, argv, word):
        """(kind of completion that only the face can do, words)"""
        if word.startswith("--") and "=" in word:  # the engine completes the value, as a word of its own
            name, value = word.split("=", 1)
            kind, found = self.complete(target, argv + [name], value)
            return kind, [name + "=" + choice for choice in found]
        found = []

        def add(_context, text, _description):
            found.append(text.decode("utf-8", "surrogateescape"))

        call = _Call(target)
        words, count = _words(argv)
        word = word.encode("utf-8", "surrogateescape")
        kind = self._library.tm_complete(call.face, count, words, word, _add_completion(add), None)
        return kind, found


def load(folder):
    """The engine that belongs to the script in `folder`."""
    tried = [os.path.normpath(os.path.join(folder, place, "libtm.so")) for place in ENGINE_FOLDERS]
    path = next((path for path in tried if os.path.exists(path)), None)
    if path is None:
        raise Failure(
            "tm: the engine, libtm.so, is neither beside the script in %s nor in %s.  Try: make -C %s, or copy libtm.so"
            " beside the script" % (folder, tried[1][: -len("/libtm.so")], os.path.dirname(folder))
        )
    try:
        return Engine(ctypes.CDLL(path))
    except Failure as error:
        raise Failure("tm: the engine %s %s" % (path, error))
    except (OSError, AttributeError, ValueError, KeyError, TypeError) as error:
        raise Failure("tm: the engine %s cannot be loaded: %s" % (path, error))


# ---- words -----------------------------------------------------------------------------------------------------------


def _option(verb, word):
    """The option that a word spells (--by, --by=x, --b, -b, -bx), or None."""
    name = word.split("=", 1)[0]
    for option in verb["options"]:
        if word.startswith("--") and len(name) > 2 and option["name"].startswith(name):
            return option
        if option["short"] and not word.startswith("--") and word.startswith(option["short"]):
            return option
    return None


def positional(verb, words):
    """Those of the words that are neither options nor their values."""
    found, skip = [], False
    for index, word in enumerate(words):
        if word == "--":
            return found + words[index + 1 :]
        option = _option(verb, word) if word.startswith("-") and not skip else None
        if not skip and option is None:
            found.append(word)
        skip = option is not None and bool(option["argument"]) and word in (option["name"], option["short"])
    return found


def split(verb, text):
    """The words of a command line.

    A verb that takes one ADDRESS gets everything that is not an option as one word, as it stands, because expressions
    have blanks and quotes of their own: tm traceback --json *(char **) ($sp + 8)
    """
    try:
        if [argument["kind"] for argument in verb["arguments"]] != ["address"]:
            return shlex.split(text)
        before, rest = [], text.strip()
        while rest.startswith("-"):
            word, _, after = rest.partition(" ")
            if word == "--":
                return before + ["--", after.strip()]
            option = _option(verb, word)
            if option is None and not re.match("--?[A-Za-z]", word):
                break  # an expression such as -1
            before.append(word)
            rest = after.strip()
            takes_next = option is not None and option["argument"] and "=" not in word
            if takes_next and (word.startswith("--") or word == option["short"]):
                value, _, rest = rest.partition(" ")
                before.append(value)
                rest = rest.strip()
        after = []
        while True:  # options behind the expression
            match = re.search(r"(?:^|\s)(--[A-Za-z]\S*)(\s+[^-\s]\S*)?$", rest)
            option = match and _option(verb, match.group(1))
            if not option:
                break
            value = match.group(2)
            if bool(value) != (bool(option["argument"]) and "=" not in match.group(1)):
                break
            after = [match.group(1)] + ([value.strip()] if value else []) + after
            rest = rest[: match.start()].strip()
        return before + after + ([rest] if rest else [])
    except ValueError as error:  # shlex
        raise Failure("tm: %s in: %s" % (str(error)[0].lower() + str(error)[1:], text))
