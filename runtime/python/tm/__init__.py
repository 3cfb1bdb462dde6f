# SPDX-License-Identifier: MIT
from tm._tm import *  # noqa
from tm._tm import _get_traces,_get_object_traceback,_track,_untrack
