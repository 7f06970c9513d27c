#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What `make demo` shows: the main job, step by step. Runs as root in a guest with a second
# network namespace behind a veth pair, where a web server answers at 10.77.0.2. Every line
# behind a `#` prompt is a command that is run as it stands; a step that goes otherwise than it
# should ends the demo with an error.
# shellcheck disable=SC2016 # commands are texts here, and expand when they are run
set -u -o pipefail
PEER=http://10.77.0.2:8080/

say() { printf '\n%s\n' "$*"; }
run() { # EXPECTED-EXIT-CODE COMMAND
	printf '# %s\n' "$2"
	eval "$2"
	local code=$?
	[ "$code" = "$1" ] || { printf 'demo: exit code %s where %s was expected\n' "$code" "$1"; exit 1; }
}
begin_visitor() { coproc VISITOR { exec python3 -u /snet/visitor.py; }; }
visit() { # COMMAND; the visitor's answer is read back and printed
	printf '# %s\n' "$1"
	eval "$1"
	local answer
	read -r -t 20 answer <&"${VISITOR[0]}" || { echo "demo: the visitor said nothing"; exit 1; }
	printf '%s\n' "$answer"
	case $answer in *"$2"*) ;; *) echo "demo: '$2' was expected"; exit 1 ;; esac
}
ready() { until snet-tool status >/dev/null 2>&1; do sleep 0.1; done; }

say "A stock kernel, the module, and a daemon whose fallback is deny:"
run 0 'uname -r'
run 0 'insmod /snet/snet.ko'
# The web server stands for another machine: it runs in the same kernel, so that its accept() would be asked about too.
sed -e 's/^default = "allow"/default = "deny"/' -e '/^accept = /d' /etc/snet/snetd.toml >/tmp/snetd.toml
run 0 'grep "^default" /tmp/snetd.toml'
run 0 'snetd --config /tmp/snetd.toml 2>/tmp/snetd.log &'
ready

say "(a) No rule allows curl: connect() itself fails, and not a packet leaves."
run 7 "curl -sSv $PEER 2>&1 | grep -v Trying"

say "(b) One rule."
run 0 'snet-tool allow curl tcp connect'

say "(c) Now it may."
run 0 "curl -sS $PEER"

say "(d) A long-lived program asks once; its next connections are decided by the ticket in the kernel."
run 0 'snet-tool allow python3 tcp connect --to 10.77.0.0/24'
begin_visitor
visit "echo $PEER >&\${VISITOR[1]}" "200 hello"
counters='snet-tool status --json | python3 -c "import json, sys; s = json.load(sys.stdin)[\"kernel\"][\"stats\"]; print(s[\"events\"], \"events,\", s[\"ticket_allowed\"], \"ticket hits\")"'
counters() { eval "$counters"; }
run 0 'counters    # from: snet-tool status --json'
visit "echo $PEER >&\${VISITOR[1]}" "200 hello"
run 0 counters
run 0 'snet-tool tickets'

say "(e) The daemon is killed. The program with a ticket goes on; one without gets the fallback, at once."
run 0 'kill -9 $(pidof snetd)'
visit "echo $PEER >&\${VISITOR[1]}" "200 hello"
run 7 "time curl -sS $PEER"

say "(f) It is started again: same rules, and it decides."
run 0 'snetd --config /tmp/snetd.toml 2>>/tmp/snetd.log &'
ready
run 0 "curl -sS $PEER"

say "(g) What was decided:"
sleep 1.5
run 0 'snet-tool log'

kill %+ 2>/dev/null
pkill -TERM snetd
end=${VISITOR[1]}
exec {end}>&-
wait
rmmod snet || exit 1
say "The module is unloaded; the machine is as it was."
