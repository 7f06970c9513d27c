#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What `vm.py demo` shows. Runs in the guest as root; its exit code is the command's.

show() {
	printf '\n# %s\n' "$*"
	"$@"
}

show uname -a || exit
show cat /sys/kernel/security/lsm || exit
show curl -sS http://10.77.0.2:8080/ || exit
