# SPDX-License-Identifier: MIT
"""Where is the state of this thread, of a new one, and in a subinterpreter?  Prints place.c's answers."""
import ctypes
import json
import sys
import threading

library = ctypes.PyDLL(sys.argv[1])
places = {"here": library.place_here, "subinterpreter": library.place_in_subinterpreter}
answers = {}


def ask(name):
    answers["thread"] = places[name]()


# Whoever asks first looks for the place; the others find it.
for name in sys.argv[2:]:
    answers[name] = places[name]()
thread = threading.Thread(target=ask, args=("here",))
thread.start()
thread.join()
with open("/proc/self/maps") as maps:
    shared = "/libpython" in maps.read()
print(json.dumps({"shared": shared, "answers": answers}))
