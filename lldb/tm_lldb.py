# SPDX-License-Identifier: MIT
"""tm in LLDB:  (lldb) command script import tm_lldb.py

All about a verb comes from the engine's table: a new verb needs no line here.  Standard library only, LLDB 14 and
later.  Importing it again loads it again.
"""

import importlib.util
import os
import re
import sys

import lldb

HERE = os.path.dirname(os.path.realpath(__file__))
NOTHING_TO_READ = (
    "tm: there is neither a process nor a core here.  Try: target create --core CORE, attach -p PID, or run"
)
NO_MAPPINGS = (
    "tm: LLDB's remote end does not say where this process has memory.  Try: lldb-server in its place, or tm top PID on"
    " that machine"
)
BLOCK = 4 << 20  # SBProcess.ReadMemory is fastest at 1 to 8 MiB, and four times slower at 64


def _load(name, *folders):
    for folder in folders:
        path = os.path.join(HERE, folder, name + ".py")
        if os.path.exists(path):
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError("tm: %s.py, which belongs to %s, is missing" % (name, os.path.join(HERE, "tm_lldb.py")))


try:
    tm_engine = _load("tm_engine", "", "../reader", "..")
    tm_lldb_addresses = _load("tm_lldb_addresses", "")
    MISSING, Base = None, tm_engine.Target
except FileNotFoundError as missing:  # __lldb_init_module says so
    MISSING, Base = str(missing), object


# ---- the target ------------------------------------------------------------------------------------------------------


def _status(pid):
    with open("/proc/%d/status" % pid) as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def _traced_here(process):
    """Is this process on this machine, and that of its id?  A remote one may have the id of another one here.

    LLDB traces through a server, which it starts itself if the process is here.  To make sure, some bytes of the stack
    are compared, which differ between any two processes.
    """
    pid, frame, error = process.GetProcessID(), process.GetThreadAtIndex(0).GetFrameAtIndex(0), lldb.SBError()
    try:
        server = int(_status(pid)["TracerPid"])
        if not server or int(_status(server)["PPid"]) != os.getpid():
            return False
        there = process.ReadMemory(frame.GetSP(), 256, error)
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            return bool(there) and os.pread(memory.fileno(), len(there), frame.GetSP()) == bytes(there)
    except (OSError, OverflowError, KeyError, ValueError):
        return False


class _Stub:
    """Files that the remote end of a connection reads for us: GDB's gdbserver tells LLDB no mappings otherwise."""

    def __init__(self, debugger, process):
        self.interpreter, self.context = debugger.GetCommandInterpreter(), lldb.SBExecutionContext(process)

    def _ask(self, packet):
        """(number, what is behind it) of an answer such as F1f;...; a negative number, or none, is an error."""
        result = lldb.SBCommandReturnObject()
        self.interpreter.HandleCommand("process plugin packet send " + packet, self.context, result, False)
        match = re.search(r"^response: F([0-9a-f]+)(?:;(.*))?", result.GetOutput() or "", re.MULTILINE | re.DOTALL)
        if not match:
            raise EOFError
        return int(match.group(1), 16), (match.group(2) or "")[:-1]  # and LLDB's own end of the line

    def read(self, path):
        try:
            descriptor, _ = self._ask("vFile:open:%s,0,0" % path.encode().hex())
            parts, offset = [], 0
            while True:
                size, text = self._ask("vFile:pread:%x,4000,%x" % (descriptor, offset))
                if not size:
                    break
                parts.append(text)
                offset += size
            self._ask("vFile:close:%x" % descriptor)
            return "".join(parts)
        except EOFError:
            return ""


def _mappings(maps):
    """The regions that /proc/PID/maps, as text, has."""
    for line in maps.splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) ([-r])([-w])([-x])\S+ \S+ \S+ \S+\s*(.*)", line)
        if match:
            flags = tm_engine.region_flags(*(letter != "-" for letter in match.group(3, 4, 5)))
            yield int(match.group(1), 16), int(match.group(2), 16), flags, match.group(6) or None


def _core_file(debugger, process):
    """Path of the core, or None: then the engine reads through LLDB, and cannot tell a zero from what was not saved."""
    with open("/proc/self/maps") as maps:  # LLDB maps cores
        mapped = {line.rstrip("\n").split(None, 5)[5] for line in maps if line.count("/")}
    if hasattr(process, "GetCoreFile"):  # LLDB 17 and later
        file = process.GetCoreFile()
        path = os.path.join(file.GetDirectory() or "", file.GetFilename() or "")
        return path if path and path + " (deleted)" not in mapped else None  # it may be another core's by now
    # Older ones do not say; with one core and one such mapping there is no doubt
    processes = [debugger.GetTargetAtIndex(index).GetProcess() for index in range(debugger.GetNumTargets())]
    cores = [path for path in mapped if _is_core(path)]
    if len(cores) == 1 and sum("core" in (one.GetPluginName() or "") for one in processes if one.IsValid()) == 1:
        return cores[0]
    return None


def _is_core(path):
    try:
        with open(path, "rb") as file:
            head = file.read(18)
        return head[:4] == b"\x7fELF" and head[16:18] in (b"\4\0", b"\0\4")
    except OSError:
        return False


class Target(Base):
    def __init__(self, debugger, exe_ctx, result):
        self.debugger, self.result = debugger, result
        self.target, self.process, self.frame = exe_ctx.GetTarget(), exe_ctx.GetProcess(), exe_ctx.GetFrame()
        state = self.process.GetState() if self.process.IsValid() else lldb.eStateInvalid
        none = (lldb.eStateInvalid, lldb.eStateUnloaded, lldb.eStateConnected, lldb.eStateExited, lldb.eStateDetached)
        self.nothing = state in none
        self.process_id = 0 if self.nothing else self.process.GetProcessID() & 0x7FFFFFFF
        self.stopped = state not in (lldb.eStateRunning, lldb.eStateStepping)
        if self.nothing:
            pass
        elif "core" in (self.process.GetPluginName() or "").lower():
            self.core_file = _core_file(debugger, self.process)
        elif self.stopped and _traced_here(self.process):
            self.pid = self.process.GetProcessID()  # LLDB's own reads go through a socket: 50 to 86 MB/s
        terminal = os.isatty(1)
        self.width = debugger.GetTerminalWidth() if terminal else 0
        self.progress = terminal and os.isatty(2)
        self.colour = terminal and debugger.GetUseColor() and not os.environ.get("NO_COLOR")

    def read(self, address, size):
        blocks, most = [], BLOCK
        while size > 0:
            error = lldb.SBError()  # a used one stays failed
            block = self.process.ReadMemory(address, min(size, most), error)
            if block:  # perhaps short, with success
                blocks.append(block)
                address, size = address + len(block), size - len(block)
            elif most > 4096:  # None, perhaps with success, if there is a hole anywhere in it
                most = min(size, most) // 2 & ~4095 or 4096 - address % 4096
            else:
                break
        return b"".join(blocks)

    def regions(self):
        if self.nothing:
            raise tm_engine.Failure(NOTHING_TO_READ)
        regions = self.process.GetMemoryRegions()
        if regions.GetSize():
            return self._told(regions)
        told = _Stub(self.debugger, self.process).read("/proc/%d/maps" % self.process.GetProcessID())
        if not told:  # killed a moment ago, perhaps: LLDB 16 may not have heard of it
            lives = self.process.GetNumThreads() and self.read(self.process.GetThreadAtIndex(0).GetFrameAtIndex(0).GetSP(), 1)
            raise tm_engine.Failure(NO_MAPPINGS if lives else NOTHING_TO_READ)
        return _mappings(told)

    @staticmethod
    def _told(regions):
        """The regions that LLDB knows."""
        info = lldb.SBMemoryRegionInfo()
        for index in range(regions.GetSize()):
            if regions.GetMemoryRegionAtIndex(index, info) and info.IsMapped():
                flags = tm_engine.region_flags(info.IsReadable(), info.IsWritable(), info.IsExecutable())
                yield info.GetRegionBase(), info.GetRegionEnd(), flags, info.GetName() or None

    def write(self, stream, text):
        # Through LLDB's own buffer: it goes wherever the output of commands goes (a console, lldb-dap, a script)
        if stream == tm_engine.OUT:
            print(text, end="", file=self.result)
        else:
            self.result.AppendWarning(text.rstrip("\n"))

    def evaluate(self, expression):
        return tm_lldb_addresses.evaluate(self.frame, self.target, expression)

    def interrupted(self):
        if hasattr(self.debugger, "InterruptRequested") and self.debugger.InterruptRequested():
            return True
        return self.debugger.GetCommandInterpreter().WasInterrupted()

    def symbol(self, name):
        for context in self.target.FindSymbols(name):
            address = context.GetSymbol().GetStartAddress().GetLoadAddress(self.target)
            if address != lldb.LLDB_INVALID_ADDRESS:
                return address
        head, dot, members = name.partition(".")
        value = dot and self.target.FindFirstGlobalVariable(head).GetValueForExpressionPath(dot + members)
        return value.GetLoadAddress() if value and value.IsValid() else None


# ---- the commands ----------------------------------------------------------------------------------------------------


class Verb:
    """One verb; subclasses, one for each, say which (LLDB makes an instance from a class that it finds by name)."""

    engine = verb = None

    def __init__(self, debugger, internal_dict):
        pass

    def __call__(self, debugger, command, exe_ctx, result):
        try:
            words = tm_engine.split(self.verb, command)
            self.engine.run(Target(debugger, exe_ctx, result), [self.verb["name"]] + words)
            result.SetStatus(lldb.eReturnStatusSuccessFinishResult)
        except tm_engine.Failure as failure:
            result.SetError(str(failure))
        except KeyboardInterrupt:
            result.SetError("tm: interrupted")
        except Exception as error:  # a Python traceback helps nobody at three in the morning
            result.SetError("tm: LLDB cannot do that: %s: %s" % (type(error).__name__, error))

    def get_short_help(self):
        return self.verb["summary"]

    def get_long_help(self):
        return self.verb["help"]

    def get_repeat_command(self, command):
        return ""  # Enter does not ask again: an answer may be long


def __lldb_init_module(debugger, internal_dict):
    if MISSING:
        print(MISSING)
        return
    try:
        engine = tm_engine.load(HERE)
    except tm_engine.Failure as failure:
        print(failure)
        return
    interpreter = debugger.GetCommandInterpreter()

    def execute(command):
        interpreter.HandleCommand(command, lldb.SBCommandReturnObject())

    execute('command container add -o -h "Where Python allocated the memory that lives." tm')
    for verb in engine.verbs:
        name = "Verb_" + verb["name"].replace("-", "_")
        globals()[name] = type(name, (Verb,), {"engine": engine, "verb": verb})
        for spelling in ("tm " + verb["name"], "py-tm-" + verb["name"]):
            execute("command script add -o -c %s.%s %s" % (__name__, name, spelling))
