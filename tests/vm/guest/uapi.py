# SPDX-License-Identifier: MIT OR Apache-2.0
# Generated from kernel/snet.yaml by kernel/generate.py. Do not edit.
"""Numbers of the netlink protocol, for tests that speak it without libsnet."""

FAMILY_NAME = "snet"
FAMILY_VERSION = 1
MCGRP_AUDIT = "audit"
ABI_VERSION = 1
MAX_TICKETS_PER_MESSAGE = 16
OP_CREATE = 0
OP_BIND = 1
OP_LISTEN = 2
OP_CONNECT = 3
OP_ACCEPT = 4
OP_SEND = 5
OP_RECV = 6
PROTO_TCP = 0
PROTO_UDP = 1
PROTO_UDPLITE = 2
PROTO_SCTP = 3
PROTO_MPTCP = 4
PROTO_ICMP = 5
PROTO_RAW = 6
PROTO_PACKET = 7
PROTO_UNIX = 8
PROTO_OTHER = 9
VERDICT_ALLOW = 1
VERDICT_DENY = 2
CALL_NONBLOCK = 1
CALL_FASTOPEN = 2
CALL_IO_URING = 4
CALL_LOCKED = 8
CAUSE_TICKET = 1
CAUSE_DEADLINE = 2
CAUSE_NO_DECIDER = 3
CAUSE_DECIDER_GONE = 4
CAUSE_STALLED = 5
CAUSE_BOUNDS = 6
CAUSE_LOST = 7
CAUSE_SOURCE_ROUTE = 8
A_SUBJECT_PAD = 1
A_SUBJECT_TGID = 2
A_SUBJECT_TID = 3
A_SUBJECT_START_TIME = 4
A_SUBJECT_EXEC_ID = 5
A_SUBJECT_UID = 6
A_SUBJECT_GID = 7
A_SUBJECT_LOGIN_UID = 8
A_SUBJECT_COMM = 9
A_SUBJECT_EXE = 10
A_SUBJECT_EXE_DEVICE = 11
A_SUBJECT_EXE_INODE = 12
A_SUBJECT_PARENT_TGID = 13
A_SUBJECT_CGROUP_ID = 14
A_SUBJECT_NET_NS = 15
A_SUBJECT_MNT_NS = 16
A_SUBJECT_PID_NS = 17
A_SUBJECT_USER_NS = 18
A_OBJECT_OPERATION = 1
A_OBJECT_PROTOCOL = 2
A_OBJECT_FAMILY = 3
A_OBJECT_TYPE = 4
A_OBJECT_NUMBER = 5
A_OBJECT_REMOTE_ADDR = 6
A_OBJECT_REMOTE_PORT = 7
A_OBJECT_LOCAL_ADDR = 8
A_OBJECT_LOCAL_PORT = 9
A_OBJECT_FLAGS = 10
A_TICKET_PAD = 1
A_TICKET_ID = 2
A_TICKET_TGID = 3
A_TICKET_EXEC_ID = 4
A_TICKET_OPERATIONS = 5
A_TICKET_PROTOCOLS = 6
A_TICKET_NUMBER = 7
A_TICKET_REMOTE_ADDR = 8
A_TICKET_REMOTE_PREFIX = 9
A_TICKET_REMOTE_PORT_MIN = 10
A_TICKET_REMOTE_PORT_MAX = 11
A_TICKET_LOCAL_PORT_MIN = 12
A_TICKET_LOCAL_PORT_MAX = 13
A_TICKET_VERDICT = 14
A_TICKET_LIFETIME = 15
A_TICKET_RULE_ID = 16
A_TICKET_HITS = 17
A_TICKET_LAST_HIT = 18
A_TICKET_START_TIME = 19
A_TICKET_UID = 20
A_TICKET_NET_NS = 21
A_TICKET_CGROUP_ID = 22
A_TICKET_USES = 23
A_TICKET_INHERIT = 24
A_TICKET_ORIGIN = 25
A_TICKET_EXE_DEVICE = 26
A_TICKET_EXE_INODE = 27
A_WATCH_OPERATION = 1
A_WATCH_PROTOCOLS = 2
A_FALLBACK_OPERATION = 1
A_FALLBACK_VERDICT = 2
A_POLICY_DEADLINE = 1
A_POLICY_NONBLOCK_DEADLINE = 2
A_POLICY_FALLBACK = 3
A_POLICY_MAX_REQUESTS = 4
A_POLICY_MAX_REQUESTS_PER_PROCESS = 5
A_POLICY_MAX_TICKETS = 6
A_POLICY_MAX_TICKETS_PER_PROCESS = 7
A_STATS_PAD = 1
A_STATS_CALLS = 2
A_STATS_TICKET_ALLOWED = 3
A_STATS_TICKET_DENIED = 4
A_STATS_EVENTS = 5
A_STATS_VERDICT_ALLOWED = 6
A_STATS_VERDICT_DENIED = 7
A_STATS_FALLBACK_DEADLINE = 8
A_STATS_FALLBACK_NO_DECIDER = 9
A_STATS_FALLBACK_DECIDER_GONE = 10
A_STATS_FALLBACK_STALLED = 11
A_STATS_FALLBACK_BOUNDS = 12
A_STATS_FALLBACK_LOST = 13
A_STATS_KILLED = 14
A_STATS_REFUSED = 15
A_STATS_AUDIT_DROPPED = 16
A_STATS_HELD = 17
A_STATS_TICKETS = 18
A_STATS_OWNERS = 19
A_STATS_DECIDER = 20
A_MAIN_PAD = 1
A_MAIN_ABI_VERSION = 2
A_MAIN_REQUEST_ID = 3
A_MAIN_SUBJECT = 4
A_MAIN_OBJECT = 5
A_MAIN_DEADLINE = 6
A_MAIN_VERDICT = 7
A_MAIN_TICKET = 8
A_MAIN_WATCH = 9
A_MAIN_POLICY = 10
A_MAIN_STATS = 11
A_MAIN_TICKET_ID = 12
A_MAIN_RULE_ID = 13
A_MAIN_TGID = 14
A_MAIN_CAUSE = 15
A_MAIN_DROPPED = 16
A_MAIN_TIME = 17
CMD_REGISTER = 1
CMD_UNREGISTER = 2
CMD_WATCH_SET = 3
CMD_WATCH_GET = 4
CMD_WATCH_FLUSH = 5
CMD_POLICY_SET = 6
CMD_POLICY_GET = 7
CMD_EVENT = 8
CMD_REQUEST_GET = 9
CMD_VERDICT = 10
CMD_DEFER = 11
CMD_TICKET_ADD = 12
CMD_TICKET_DEL = 13
CMD_TICKET_GET = 14
CMD_TICKET_FLUSH = 15
CMD_STATS_GET = 16
CMD_AUDIT = 17

# Attribute sets: number → type, or the name of the set that is nested in it.
SETS = {
    "subject": {
        1: "pad",
        2: "u32",
        3: "u32",
        4: "u64",
        5: "u64",
        6: "u32",
        7: "u32",
        8: "u32",
        9: "string",
        10: "string",
        11: "u64",
        12: "u64",
        13: "u32",
        14: "u64",
        15: "u32",
        16: "u32",
        17: "u32",
        18: "u32",
    },
    "object": {
        1: "u32",
        2: "u32",
        3: "u16",
        4: "u16",
        5: "u16",
        6: "binary",
        7: "u16",
        8: "binary",
        9: "u16",
        10: "u32",
    },
    "ticket": {
        1: "pad",
        2: "u64",
        3: "u32",
        4: "u64",
        5: "u32",
        6: "u32",
        7: "u16",
        8: "binary",
        9: "u8",
        10: "u16",
        11: "u16",
        12: "u16",
        13: "u16",
        14: "u32",
        15: "u64",
        16: "u64",
        17: "u64",
        18: "u64",
        19: "u64",
        20: "u32",
        21: "u32",
        22: "u64",
        23: "u32",
        24: "flag",
        25: "u64",
        26: "u64",
        27: "u64",
    },
    "watch": {
        1: "u32",
        2: "u32",
    },
    "fallback": {
        1: "u32",
        2: "u32",
    },
    "policy": {
        1: "u32",
        2: "u32",
        3: "fallback",
        4: "u32",
        5: "u32",
        6: "u32",
        7: "u32",
    },
    "stats": {
        1: "pad",
        2: "u64",
        3: "u64",
        4: "u64",
        5: "u64",
        6: "u64",
        7: "u64",
        8: "u64",
        9: "u64",
        10: "u64",
        11: "u64",
        12: "u64",
        13: "u64",
        14: "u64",
        15: "u64",
        16: "u64",
        17: "u32",
        18: "u32",
        19: "u32",
        20: "u32",
    },
    "main": {
        1: "pad",
        2: "u32",
        3: "u64",
        4: "subject",
        5: "object",
        6: "u32",
        7: "u32",
        8: "ticket",
        9: "watch",
        10: "policy",
        11: "stats",
        12: "u64",
        13: "u64",
        14: "u32",
        15: "u32",
        16: "u64",
        17: "u64",
    },
}
# Commands that may be sent → the attributes that they may have.
REQUESTS = {
    1: [],
    2: [],
    3: [9],
    4: [],
    5: [],
    6: [10],
    7: [],
    9: [],
    10: [3, 7, 8],
    11: [3, 6],
    12: [8],
    13: [12, 13, 14],
    14: [],
    15: [],
    16: [],
}
DUMPS = [4, 9, 14]
