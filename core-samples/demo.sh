#!/bin/bash
# SPDX-License-Identifier: MIT
# The main job, from allocation to answer:  core-samples/demo.sh [PYTHON]
# Fails unless the command line, GDB and LLDB all name the leaking line first.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-python3}
limit_kib=700000
leak_line=$(grep -n 'self.pages\[url\] = ' core-samples/leaky_server.py | cut -d: -f1)
leak="core-samples/leaky_server.py:$leak_line"
read -ra lldb < <(tools/lldb-command)

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
fail() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}
# show COMMAND...: prints it as one would type it, runs it, keeps what it said in $said.  What debuggers say on stderr
# of a core without symbols is kept from the reader, unless something is wrong.
show() {
    local words='' word
    for word; do case $word in *[\ \']*) words+=" '$word'" ;; *) words+=" $word" ;; esac done
    printf '\n$%s\n' "$words"
    said=$("$@" 2>stderr.log) || fail "that went wrong (exit status $?): $(cat stderr.log)"
    printf '%s\n' "$said"
}
# The leak must be the first line that has a size, with its source text below it.
names_the_leak() {
    local first
    first=$(grep -m 1 -A 1 -E ':[0-9]+: size=' <<<"$said" || true)
    case $first in
    *"$leak: size="*"self.pages[url] = "*) ;;
    *) fail "$1 does not name $leak first, but: ${first:-nothing}" ;;
    esac
}

# Everything happens in build/demo, which looks like the checkout, so that a core falls there and yet each command
# reads as one would type it here.
rm -rf build/demo
mkdir -p build/demo
cd build/demo
ln -s .. build
ln -s ../../core-samples ../../gdb ../../lldb .

say "A reporting service starts under tm.  It may have $((limit_kib / 1024)) MiB of address space, and leaves a core when it dies."
: >server.log
printf '\n$ ulimit -v %s; ulimit -c unlimited\n$ build/bin/tm run -n 25 -- python3 core-samples/leaky_server.py\n' "$limit_kib"
(
    ulimit -c unlimited 2>/dev/null || true # where that is forbidden, the core must fit below the hard limit
    ulimit -S -v "$limit_kib"
    exec build/bin/tm run -n 25 -- "$python" core-samples/leaky_server.py
) >server.log 2>&1 &
server=$!
trap 'kill -9 "$server" 2>/dev/null || true' EXIT
for ((i = 0; i < 300; i++)); do
    grep -q '^listening' server.log && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
port=$(sed -n 's/^listening .*://p' server.log)
[ -n "$port" ] || fail "the service did not start: $(cat server.log)"
cat server.log

say "Four customers ask it for reports, until it is gone."
printf '\n$ python3 core-samples/load.py %s\n' "$port"
"$python" core-samples/load.py "$port"
wait "$server" 2>/dev/null && fail "the service ended without dying" || status=$?
trap - EXIT
tail -n +2 server.log
[ "$status" -ge 128 ] || fail "the service ended with status $status, not by a signal"

core=$(find . -maxdepth 1 -name 'core*' -type f | sort | tail -n 1)
core=${core#./}
[ -n "$core" ] || fail "no core came: see ulimit -H -c, and $(cat /proc/sys/kernel/core_pattern) in /proc/sys/kernel/core_pattern"
say "It is dead.  What is left is a core of $(($(stat -c %b "$core") / 2048)) MiB.  Which lines held the memory?"
show build/bin/tm info "$core"
show build/bin/tm top "$core" 5
names_the_leak "tm top"

say "The same question in GDB, and in LLDB."
show gdb -batch -nx -x gdb/tm_gdb.py -c "$core" -ex 'py-tm-top 5'
names_the_leak GDB
show "${lldb[@]}" --batch --no-lldbinit -c "$core" -o 'command script import lldb/tm_lldb.py' -o 'tm top 5'
names_the_leak LLDB

say "And the way from one of the leaked blocks back to the line that allocated it."
# A page like any other, not the biggest block there is: that is the one that was being made when memory ran out.
address=$(build/bin/tm blocks "$core" --limit 100 --json | "$python" -c '
import json, sys
blocks = json.load(sys.stdin)["blocks"]
print([b["address"] for b in blocks if b["traceback"][0]["lineno"] == int(sys.argv[1])][-1])' "$leak_line")
show build/bin/tm traceback "$core" "$address"
grep -q "leaky_server.py" <<<"$said" || fail "that is no traceback of the leak"

say "All three name $leak first.  The core is build/demo/$core."
