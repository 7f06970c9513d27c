#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What `make demo` shows: the main job on this machine, with no module, no root and no set-up. Runs
# in an empty home directory of its own, beside a web server on 127.0.0.1. Every line behind a
# `$` prompt is a command that is run as it stands; a step that goes otherwise than it should ends the
# demo with an error. Takes the directory of the built programs.
# shellcheck disable=SC2016 # commands are texts here, and expand when they are run
set -u -o pipefail
PATH=$(cd "$1" && pwd):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=$(mktemp -d)
export PATH HOME SNETD="${PATH%%:*}/snetd"
unset XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME SNET_SOCKET
cd "$HOME" || exit 1
LOCK=$HOME/.local/share/snet/run/snetd.sock.lock
PORT=8765
SITE=http://127.0.0.1:$PORT/

say() { printf '\n%s\n' "$*"; }
run() { # EXPECTED-EXIT-CODE COMMAND
	printf '$ %s\n' "$2"
	eval "$2"
	local code=$?
	[ "$code" = "$1" ] || { printf 'demo: exit code %s where %s was expected\n' "$code" "$1"; exit 1; }
}
begin_visitor() { coproc VISITOR { exec snet-tool run -- python3 -uc "$VISIT"; }; }
visit() { # WHAT-IS-EXPECTED
	printf '$ echo %s >&${VISITOR[1]}\n' "$SITE"
	echo "$SITE" >&"${VISITOR[1]}"
	local answer
	read -r -t 20 answer <&"${VISITOR[0]}" || { echo "demo: the visitor said nothing"; exit 1; }
	printf 'visitor: %s\n' "$answer"
	case $answer in *"$1"*) ;; *) echo "demo: '$1' was expected"; exit 1 ;; esac
}
VISIT='
import sys, urllib.request
for line in sys.stdin:
    try:
        print(urllib.request.urlopen(line.strip()).read().decode().strip())
    except OSError as error:
        print(error)
'
stop() {
	kill "$SERVER" 2>/dev/null
	[ -e "$LOCK" ] && kill "$(cat "$LOCK")" 2>/dev/null
	cd / && rm -rf "$HOME"
}
trap stop EXIT

echo "hello from port $PORT" >index.html
python3 -m http.server "$PORT" --bind 127.0.0.1 >/dev/null 2>&1 &
SERVER=$!
until curl -so /dev/null "$SITE"; do sleep 0.1; done

say "No module, no set-up: this user wants calls denied that no rule allows."
mkdir -p .config/snet
printf '[fallback]\ndefault = "deny"\n' >.config/snet/snetd.toml
run 0 'grep default ~/.config/snet/snetd.toml'

say "(a) No rule allows curl: connect() itself fails. The daemon is started on the spot."
run 7 "snet-tool run -- curl -sSv $SITE 2>&1 | grep -v Trying"

say "(b) One rule."
run 0 'snet-tool allow curl tcp connect'

say "(c) Now it may."
run 0 "snet-tool run -- curl -sS $SITE"

say "(d) A long-lived program asks for a verdict once; its next connections are decided by the ticket."
run 0 'snet-tool allow python3 tcp connect --to 127.0.0.0/8'
begin_visitor
printf '$ coproc VISITOR { snet-tool run -- python3 visitor.py; }\n'
visit "hello"
visit "hello"
run 0 'snet-tool tickets'
sleep 1 # The journal is written in batches.

say "(e) The daemon is killed. The supervisor starts another one: same rules, and it decides."
run 0 'kill -9 $(cat ~/.local/share/snet/run/snetd.sock.lock)'
visit "hello"
run 0 'snet-tool status'

say "(f) What was decided:"
sleep 1
run 0 'snet-tool log'

end=${VISITOR[1]}
exec {end}>&-
wait "$VISITOR_PID"
say "Nothing is left but the directory of this user, which the demo removes."
