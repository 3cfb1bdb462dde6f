# SPDX-License-Identifier: MIT
"""The commands that tm adds to GDB.  All about a verb comes from the engine's table: a new verb needs no line here."""

import ast
import contextlib
import ctypes
import os
import re
import signal
import sys

import gdb
import tm_engine
from tm_engine import Failure

NOTHING_TO_READ = "tm: there is neither a process nor a core here.  Try: core-file CORE, attach PID, or run"


@contextlib.contextmanager
def setting(name, value):
    """A GDB setting for a while (gdb.with_parameter exists only from GDB 14)."""
    before = gdb.parameter(name)
    gdb.execute("set %s %s" % (name, value), to_string=True)
    try:
        yield
    finally:
        gdb.execute("set %s %s" % (name, "on" if before else "off"), to_string=True)


def address_of(value):
    """The address that a GDB value means, as somebody who asks for a block would expect."""
    kind = value.type.strip_typedefs().code
    if kind in (gdb.TYPE_CODE_REF, getattr(gdb, "TYPE_CODE_RVALUE_REF", gdb.TYPE_CODE_REF)):
        value = value.referenced_value()
        kind = value.type.strip_typedefs().code
    if kind in (gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_FUNC) and value.address is not None:
        return int(value.address)
    if kind == gdb.TYPE_CODE_VOID:
        raise Failure("it has no value")
    if kind in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        raise Failure("it is a %s; put & before it" % value.type)
    if kind in (gdb.TYPE_CODE_FLT, gdb.TYPE_CODE_ARRAY):  # of GDB's own: "text", {1, 2}
        raise Failure("it is a %s" % value.type)
    return int(value) & 0xFFFFFFFFFFFFFFFF


def python_local(name):
    """Address of the object that a variable of the selected Python frame names, if CPython's libpython.py is loaded
    (py-up and py-down select frames, py-locals lists variables); otherwise None."""
    frames = getattr(sys.modules.get("libpython") or sys.modules["__main__"], "Frame", None)
    try:
        frame = frames.get_selected_python_frame()
        while not frame.is_evalframe():  # a function of C that Python called
            frame = frame.older()
        found, _scope = frame.get_pyop().get_var_by_name(name)
        return found.as_address()
    except Exception:  # no such script, no Python frame, another version of libpython.py, no such variable
        return None


def evaluate(expression):
    """The address that an expression means.  Nothing is called in the target."""
    try:
        return int(expression, 0)  # in every source language
    except ValueError:
        pass
    local = python_local(expression) if re.fullmatch(r"[^\W\d]\w*", expression) else None
    try:
        with setting("may-call-functions", "off"):
            address = address_of(gdb.parse_and_eval(expression))
    except (gdb.error, Failure) as error:  # Failure: C has something of that name (libm has a "one"), but no address
        if local is not None:
            return local
        raise Failure(str(error))
    if local not in (None, address):
        write('tm: this is the %s of C; that of Python is $_tm_local("%s")\n' % (expression, expression), gdb.STDERR)
    return address


def said(command):
    """What GDB prints for a command.  For a front end (GDB/MI), GDB 18 hands even that out quoted: ~"...\\n" """
    text = gdb.execute(command, to_string=True)
    if not text.startswith('~"'):
        return text
    quoted = (line[1:] for line in text.splitlines() if line.startswith('~"'))
    text = "".join(ast.literal_eval(line) for line in quoted)
    try:
        return text.encode("latin-1").decode("utf-8", "surrogateescape")  # bytes came as octal numbers
    except UnicodeEncodeError:
        return text


core_files = {}  # by number of the connection, which is new for each core


def core_file(number):
    """Path of the core behind a connection, or None: then the engine reads through GDB."""
    if number not in core_files:
        # With a filter that no section passes, only the head lines remain of 60,000; but GDB looks at all of them.
        heads = said("maint info sections .no-such-section")
        match = re.search(r"^Core file: `(.*)', file type", heads, re.MULTILINE)
        core_files[number] = match and match.group(1)
    path = core_files[number]
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink("/proc/self/fd/" + descriptor) == "%s (deleted)" % path:
                return "/proc/self/fd/" + descriptor  # the path may be another core's by now
    return path


def load_sections():
    """The mappings that a core says it has; GDB's own reads give zeros where it has not saved them."""
    paths = {start: path for start, _end, _flags, path in proc_mappings()}
    for line in said("maint info sections LOAD").splitlines():
        match = re.match(r"\s*\[\d+\]\s+0x([0-9a-f]+)->0x([0-9a-f]+) at 0x[0-9a-f]+: load\d+a? (.*)", line)
        if match and "HAS_CONTENTS" in match.group(3):
            flags = tm_engine.region_flags(True, "READONLY" not in match.group(3), "CODE" in match.group(3))
            start = int(match.group(1), 16)
            yield start, int(match.group(2), 16), flags, paths.get(start)


def proc_mappings():
    """The mappings of a live process, which gdbserver tells too; those of files, of a core."""
    try:
        listed = said("info proc mappings")
    except gdb.error:  # not every target can
        return
    number = r"0x([0-9a-f]+) +"
    pattern = re.compile(r"\s*" + number * 3 + r"0x[0-9a-f]+ *([-r][-w][-x][-ps](?= |$))? *(.*)")
    for line in listed.splitlines():
        match = pattern.match(line)
        if match:
            letters = match.group(4) or ""  # GDB 12 and later
            flags = tm_engine.region_flags(*(letter in letters for letter in "rwx"))
            yield int(match.group(1), 16), int(match.group(2), 16), flags, match.group(5).strip() or None


class Target(tm_engine.Target):
    """The inferior that is selected."""

    interrupts = None

    def __init__(self):
        self.inferior = gdb.selected_inferior()
        connection = getattr(self.inferior, "connection", None)
        kind = connection.type if connection is not None else None  # GDB 11 and later
        self.core = kind == "core"
        self.process_id = self.inferior.pid
        self.nothing = self.inferior.pid == 0  # a core's is never 0; a new inferior has the connection of the last one
        if self.nothing:
            pass
        elif self.core:
            self.core_file = core_file(connection.num)
        elif kind == "native":
            self.pid = self.inferior.pid
        self.stopped = not any(thread.is_running() for thread in self.inferior.threads())
        if os.isatty(1):
            self.width = gdb.parameter("width") or 0
            self.progress = os.isatty(2)
        self.colour = colour()

    def read(self, address, size):
        while True:
            try:
                return self.inferior.read_memory(address, size)
            except gdb.MemoryError:
                # All or nothing is GDB's rule.  Less may lie before the hole.
                if size <= 4096 - address % 4096:
                    raise
                size = max(size // 2 & ~4095, 4096 - address % 4096)

    def regions(self):
        if self.nothing:
            raise Failure(NOTHING_TO_READ)
        return load_sections() if self.core else proc_mappings()

    def write(self, stream, text):
        write(text, gdb.STDOUT if stream == tm_engine.OUT else gdb.STDERR)

    def evaluate(self, expression):
        return evaluate(expression)

    def interrupted(self):
        return self.interrupts.arrived

    def symbol(self, name):
        found = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
        if found is not None:
            return int(found.value().address)
        try:  # without debug information: the symbol table of the file
            return int(gdb.parse_and_eval("(long) &" + name))
        except gdb.error:
            return None


def write(text, stream=gdb.STDOUT):
    try:
        gdb.write(text, stream)
    except UnicodeEncodeError:  # GDB's host charset is ASCII under LC_ALL=C
        gdb.write(text.encode("ascii", "backslashreplace").decode(), stream)


def colour():
    mode = gdb.parameter("tm style")
    if mode != "auto":
        return mode == "on"
    return bool(gdb.parameter("style enabled")) and os.isatty(1) and not os.environ.get("NO_COLOR")


class Interrupts:
    """Ctrl-C while the engine runs.

    GDB hands it to Python, which raises KeyboardInterrupt at the next function that begins, and that is a callback of
    the engine before its first line: no try can catch it there.  So for a while it only sets a flag.  GDB's handler of
    the signal itself must stay, but signal.signal() replaces that too: put it back.
    """

    def __enter__(self):
        self.arrived = False
        self.before = self._exchange(self._arrive)
        return self

    def __exit__(self, *_):
        self._exchange(self.before)

    def _arrive(self, _signal, _frame):
        self.arrived = True

    def _exchange(self, handler):
        libc, system = ctypes.CDLL(None), ctypes.create_string_buffer(1024)  # a struct sigaction, whatever its size
        libc.sigaction(signal.SIGINT, None, system)
        before = signal.signal(signal.SIGINT, handler)
        libc.sigaction(signal.SIGINT, system, None)
        return before


@contextlib.contextmanager
def sentences():
    """Whatever goes wrong inside becomes an error that GDB prints as one sentence."""
    try:
        with Interrupts() as Target.interrupts:
            yield
    except Failure as error:
        text = str(error)
        raise gdb.GdbError(text if text.startswith("tm: ") else "tm: " + text)
    except Exception as error:  # a Python traceback helps nobody at three in the morning
        raise gdb.GdbError("tm: GDB cannot do that: %s" % (error or type(error).__name__))


class Verb(gdb.Command):
    def __init__(self, engine, verb):
        self.engine, self.verb = engine, verb
        self.__doc__ = documentation(verb)
        super().__init__("tm " + verb["name"], gdb.COMMAND_DATA)

    def invoke(self, text, from_tty):
        self.dont_repeat()
        with sentences():
            words = tm_engine.split(self.verb, text)
            self.engine.run(Target(), [self.verb["name"]] + defaults(self.verb, words) + words)

    def complete(self, text, word):
        # GDB splits words at "-" and more: complete the whole word, then hand back what GDB does not have yet.
        # Asked for the splitting first, it has no word.
        word = word or ""
        whole = re.search(r"\S*$", text).group()
        have = len(whole) - len(word) if whole.endswith(word) else 0
        kind, found = self.engine.complete(
            tm_engine.Target(), [self.verb["name"]] + text[: len(text) - len(whole)].split(), whole
        )
        if not found and kind == tm_engine.COMPLETE_FILE:
            if text == whole and not whole.startswith("-"):
                return gdb.COMPLETE_FILENAME
            found = files(whole)
        if not found and kind == tm_engine.COMPLETE_EXPRESSION:
            return gdb.COMPLETE_EXPRESSION
        return [candidate[have:] for candidate in found if candidate.startswith(whole)]


def files(word):
    """What word, or what is behind the = in it, can become; GDB itself completes only the first word of a command."""
    option, start = re.match(r"(--[\w-]+=)?(.*)", word).groups()
    while True:
        folder, name = os.path.split(start)
        try:
            names = sorted(os.listdir(os.path.expanduser(folder) or "."))
        except OSError:
            return []
        found = [os.path.join(folder, entry) for entry in names if entry.startswith(name) and (name or entry[0] != ".")]
        if len(found) != 1 or not os.path.isdir(os.path.expanduser(found[0])):
            return [(option or "") + path for path in found]
        start = found[0] + "/"  # the only one: what is in it, or else GDB ends the word here


def documentation(verb):
    """GDB wants a sentence first, then the usage."""
    return verb["help"].replace(verb["summary"], verb["summary"] + ".", 1).rstrip("\n")


# ---- tm in expressions, for front ends, settings ---------------------------------------------------------------------


def only(values, documentation):
    """The one argument that a convenience function takes; GDB passes whatever was written."""
    if len(values) != 1:
        raise Failure("it takes one argument.  " + next(line for line in documentation.splitlines() if "Usage" in line))
    return values[0]


class Function(gdb.Function):
    """A convenience function of an address."""

    def __init__(self, engine, name, summary, of):
        self.engine, self.of = engine, of
        self.__doc__ = summary.replace("\n", "\nUsage: $%s (ADDRESS)\n\n" % name, 1).rstrip()
        super().__init__(name)

    def invoke(self, *values):
        with sentences():
            address = address_of(only(values, self.__doc__))
            return self.of(self.engine.answer(Target(), ["traceback", hex(address)]))


LINE_HELP = """The line of Python that allocated the block that an address lies in, as "file:line".
Give it to printf by way of a variable (set $line = $_tm_line (p)): GDB would put a string that comes from a function
into the memory of the process first."""


class Local(gdb.Function):
    """Address of the object that a variable of the selected Python frame names.
Usage: $_tm_local ("NAME")

Needs CPython's libpython.py.  Where C has no symbol of that name, the name alone will do: tm traceback NAME"""

    def __init__(self):
        super().__init__("_tm_local")

    def invoke(self, *values):
        with sentences():
            value = only(values, self.__doc__)
            if value.type.strip_typedefs().code != gdb.TYPE_CODE_ARRAY:
                raise Failure('the name of the variable belongs in quotes: $_tm_local ("NAME")')
            address = python_local(value.string())
            if address is None:
                raise Failure(
                    "no Python frame is selected in which %s is a variable.  Try: py-bt, which comes with Python"
                    % value.string()
                )
            return address


def size_of(answer):
    return answer["block"]["size"]


def line_of(answer):
    frames = answer["traceback"]
    return "%s:%d" % (frames[0]["filename"], frames[0]["lineno"]) if frames else "<unknown>:0"


def mi_value(value):
    """JSON's values as GDB/MI can have them: strings, lists, dictionaries."""
    if isinstance(value, dict):
        return {key.replace("-", "_"): mi_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mi_value(item) for item in value]
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    return value if isinstance(value, (int, str)) else str(value)


def register_mi(engine):
    class MiVerb(gdb.MICommand):
        """-tm-top, ...: what --json says, as a result record of GDB/MI."""

        def __init__(self, verb):
            self.verb = verb
            super().__init__("-tm-" + verb["name"])

        def invoke(self, words):
            with sentences():
                target = Target()
                words = [self.verb["name"]] + defaults(self.verb, words) + [word for word in words if word != "--json"]
                if any(option["name"] == "--json" for option in self.verb["options"]):
                    return {self.verb["name"].replace("-", "_"): mi_value(engine.answer(target, words))}
                written = []
                target.write = lambda stream, text: written.append(text)
                engine.run(target, words)
                return {"text": "".join(written)}

    for verb in engine.verbs:
        MiVerb(verb)


SETTINGS = ("limit", "group-by", "source-lines", "style")


class Prefix(gdb.Command):
    """What commands begin with; alone, it does what GDB's own prefixes do."""

    def __init__(self, name, summary, *alone):
        self.__doc__, self.name, self.alone = summary, name, alone
        super().__init__(name, gdb.COMMAND_DATA, prefix=True)

    def invoke(self, text, from_tty):
        if text:
            raise gdb.GdbError('Undefined %s command: "%s".  Try "help %s".' % (self.name, text, self.name))
        for command in self.alone:
            gdb.execute(command, from_tty)


class Setting(gdb.Parameter):
    def __init__(self, name, summary, details, kind, value, *choices):
        self.set_doc, self.show_doc, self.__doc__ = "Set " + summary, "Show " + summary, details
        super().__init__("tm " + name, gdb.COMMAND_DATA, kind, *choices)
        self.name, self.value = name, value

    def get_set_string(self):
        return ""

    def get_show_string(self, value):
        return "tm %s is %s." % (self.name, value)


def register_settings(engine):
    groups = []
    for verb in engine.verbs:
        for option in verb["options"]:
            if option["name"] == "--by" and not groups:
                groups = option["choices"]
    limit = Setting(
        "limit",
        "how many entries the tm commands print.",
        "What a command uses that is not told a number.  0 or unlimited: the command's own default.",
        gdb.PARAM_ZUINTEGER_UNLIMITED,
        0,
    )
    own = {"0": "each command's own", "unlimited": "each command's own"}
    limit.get_show_string = lambda value: "tm limit is %s." % own.get(value, value)
    if groups:
        Setting(
            "group-by",
            "what the tm commands group blocks by.",
            "What a command uses that is not told --by, and can group so.  auto: the command's own default.",
            gdb.PARAM_ENUM,
            "auto",
            ["auto"] + groups,
        )
    Setting(
        "source-lines",
        "whether the tm commands print source lines.",
        "The text of a line stands below it, if its file can be read.",
        gdb.PARAM_BOOLEAN,
        True,
    )
    Setting(
        "style",
        "whether the tm commands use colours.",
        "auto: on a terminal, unless styling is off (set style enabled off) or the environment has NO_COLOR.",
        gdb.PARAM_ENUM,
        "auto",
        ["auto", "on", "off"],
    )


def defaults(verb, words):
    """Words that the settings put before those of the user, whose own win."""
    has = {option["name"]: option for option in verb["options"]}
    before = []
    if "--by" in has and gdb.parameter("tm group-by") in has["--by"]["choices"]:
        before += ["--by", gdb.parameter("tm group-by")]
    if "--no-source" in has and not gdb.parameter("tm source-lines"):
        before += ["--no-source"]
    limit = gdb.parameter("tm limit")
    if limit and limit > 0:  # -1: unlimited
        if "--limit" in has:
            before += ["--limit", str(limit)]
        elif [argument["name"] for argument in verb["arguments"]] == ["N"] and not tm_engine.positional(verb, words):
            before += [str(limit)]
    return before


def register(engine):
    already = hasattr(gdb, "tm_registered")  # a second prefix command would cut the aliases off
    gdb.tm_registered = engine.version
    if not already:
        Prefix("tm", "Where Python allocated the memory that lives.", "help tm")
        Prefix("set tm", "Settings of the tm commands.", "help set tm")
        Prefix("show tm", "Show the settings of the tm commands.", *("show tm " + name for name in SETTINGS))
    for verb in engine.verbs:
        Verb(engine, verb)
        if not already:
            gdb.execute("alias py-tm-%s = tm %s" % (verb["name"], verb["name"]))
    register_settings(engine)
    Function(engine, "_tm_size", "Bytes of the traced block that an address lies in.\n", size_of)
    Function(engine, "_tm_line", LINE_HELP, line_of)
    Local()
    if hasattr(gdb, "MICommand"):  # GDB 13 and later
        register_mi(engine)
