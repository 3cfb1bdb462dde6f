# SPDX-License-Identifier: MIT
"""tm in GDB:  (gdb) source tm_gdb.py

Sourced, it loads the commands as a module of their own, so that neither its names nor those of other scripts (CPython's
libpython.py lives in the same __main__) get into each other's way.  Sourcing it again loads them again.
"""


def _tm_load():
    import importlib.util
    import os
    import sys

    import gdb

    # not __file__, which belongs to the script that sources this one, if any
    here = os.path.dirname(os.path.realpath(sys._getframe().f_code.co_filename))

    def module(name, *folders):
        for folder in folders:
            path = os.path.join(here, folder, name + ".py")
            if os.path.exists(path):
                spec = importlib.util.spec_from_file_location(name, path)
                loaded = importlib.util.module_from_spec(spec)
                sys.modules[name] = loaded
                spec.loader.exec_module(loaded)
                return loaded
        raise FileNotFoundError("tm: %s.py, which belongs to %s, is missing" % (name, os.path.join(here, "tm_gdb.py")))

    try:
        engine = module("tm_engine", "", "../reader", "..")
        commands = module("tm_gdb_commands", "")
    except FileNotFoundError as error:
        gdb.write("%s\n" % error, gdb.STDERR)
        return
    try:
        commands.register(engine.load(here))
    except engine.Failure as error:
        gdb.write("%s\n" % error, gdb.STDERR)


_tm_load()
del _tm_load
