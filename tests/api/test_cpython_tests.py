# SPDX-License-Identifier: MIT
"""CPython's own test_tracemalloc.py, as each interpreter has it installed, against tm."""
import pytest

# What cannot apply.  docs/compatibility.md has the same table.
LEFT_OUT = {
    # Objects out of a free list: CPython (3.8 to 3.12: _PyTraceMalloc_NewReference, called by _Py_NewReference) tells its
    # own tracemalloc only; later versions have a slot for one such tracer, whose call per object tm does not pay.
    "TestTracemallocEnabled.test_new_reference": "free lists",
    # -X tracemalloc and PYTHONTRACEMALLOC start CPython's own tracer.  PYTHONTM is tested in test_startup.py.
    "TestCommandLine.test_env_var_disabled_by_default": "CPython's option",
    "TestCommandLine.test_env_var_enabled_at_startup": "CPython's option",
    "TestCommandLine.test_env_var_ignored_with_E": "CPython's option",
    "TestCommandLine.test_env_var_invalid": "CPython's option",
    "TestCommandLine.test_env_limit": "CPython's option",
    "TestCommandLine.test_sys_xoptions": "CPython's option",
    "TestCommandLine.test_sys_xoptions_invalid": "CPython's option",
    "TestCommandLine.test_pymem_alloc0": "CPython's option",
}


def test_cpython_tests(program):
    """
    GIVEN the interpreter's installed test_tracemalloc.py
    WHEN it runs with tm in the place of tracemalloc
    THEN every case passes, apart from those that cannot apply
    """
    outcomes = program.json("cpython_tests.py", *LEFT_OUT)
    if outcomes is None:
        pytest.skip("this interpreter comes without CPython's tests")
    assert len(outcomes) > 40
    # What CPython itself leaves out of pydebug builds (3.13+).
    wrong = {
        case: how
        for case, how in outcomes.items()
        if how[0] not in ("passed", "left out") and how != ["skipped", "need release build"]
    }
    assert not wrong, wrong
    # Nothing is left out that is not there: the table would rot.
    gone = {case for case in LEFT_OUT if case not in outcomes}
    assert gone <= {"TestCommandLine.test_env_var_invalid", "TestCommandLine.test_sys_xoptions_invalid"}, gone
