/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Generated from kernel/snet.yaml by kernel/generate.py. Do not edit. */
#ifndef _UAPI_LINUX_SNET_H
#define _UAPI_LINUX_SNET_H

#define SNET_FAMILY_NAME	"snet"
#define SNET_FAMILY_VERSION	1
#define SNET_MCGRP_AUDIT	"audit"
#define SNET_ABI_VERSION	1
#define SNET_MAX_TICKETS_PER_MESSAGE	16

/* What a process attempts on a socket. Masks hold one bit per entry. */
enum snet_operation {
	SNET_OP_CREATE = 0,
	SNET_OP_BIND = 1,
	SNET_OP_LISTEN = 2,
	SNET_OP_CONNECT = 3,
	SNET_OP_ACCEPT = 4,
	SNET_OP_SEND = 5,
	SNET_OP_RECV = 6,
	/* private: */
	__SNET_OP_MAX,
	SNET_OP_MAX = (__SNET_OP_MAX - 1)
};

/*
 * The class of a socket, told by its family, type and protocol number. Masks hold
 * one bit per entry. A raw socket is `raw` whatever its protocol number.
 */
enum snet_protocol {
	SNET_PROTO_TCP = 0,
	SNET_PROTO_UDP = 1,
	SNET_PROTO_UDPLITE = 2,
	SNET_PROTO_SCTP = 3,
	SNET_PROTO_MPTCP = 4,
	SNET_PROTO_ICMP = 5,
	SNET_PROTO_RAW = 6,
	SNET_PROTO_PACKET = 7,
	SNET_PROTO_UNIX = 8,
	SNET_PROTO_OTHER = 9,
	/* private: */
	__SNET_PROTO_MAX,
	SNET_PROTO_MAX = (__SNET_PROTO_MAX - 1)
};

/* Zero is never a verdict. */
enum snet_verdict {
	SNET_VERDICT_ALLOW = 1,
	SNET_VERDICT_DENY = 2,
	/* private: */
	__SNET_VERDICT_MAX,
	SNET_VERDICT_MAX = (__SNET_VERDICT_MAX - 1)
};

/* How the call was made. */
enum snet_call_flag {
	/* O_NONBLOCK is set on the socket. */
	SNET_CALL_NONBLOCK = 1,
	/* A send with MSG_FASTOPEN, which begins a connection. */
	SNET_CALL_FASTOPEN = 2,
	/* The call came from an io_uring worker. */
	SNET_CALL_IO_URING = 4,
	/*
	 * The socket is locked while the call is held (SCTP's connectx and bindx): whoever
	 * wants it waits as well.
	 */
	SNET_CALL_LOCKED = 8,
};

/* Why the kernel decided a call alone. */
enum snet_cause {
	/* A deny ticket. */
	SNET_CAUSE_TICKET = 1,
	/* No verdict came in time. */
	SNET_CAUSE_DEADLINE = 2,
	SNET_CAUSE_NO_DECIDER = 3,
	/* The decider went while the call was held. */
	SNET_CAUSE_DECIDER_GONE = 4,
	/* Three deadlines in a row had passed without a word of the decider. */
	SNET_CAUSE_STALLED = 5,
	/* Too many calls were held. */
	SNET_CAUSE_BOUNDS = 6,
	/* The event could not be delivered. */
	SNET_CAUSE_LOST = 7,
	/*
	 * The call would reach another host first than the one it names. Such calls are
	 * refused where connect or send is watched, and the setting of such routes, of which
	 * the object tells the socket as far as it is known, without an address.
	 */
	SNET_CAUSE_SOURCE_ROUTE = 8,
	/* private: */
	__SNET_CAUSE_MAX,
	SNET_CAUSE_MAX = (__SNET_CAUSE_MAX - 1)
};

/* Who attempts, as the kernel saw it in the calling thread. */
enum {
	SNET_A_SUBJECT_PAD = 1,
	/* Process id in the initial pid namespace. */
	SNET_A_SUBJECT_TGID = 2,
	/* Thread id in the initial pid namespace. */
	SNET_A_SUBJECT_TID = 3,
	/* Start of the process, nanoseconds since boot. */
	SNET_A_SUBJECT_START_TIME = 4,
	/* Grows with every execve() of the process. */
	SNET_A_SUBJECT_EXEC_ID = 5,
	/* Effective user id in the initial user namespace. */
	SNET_A_SUBJECT_UID = 6,
	/* Effective group id in the initial user namespace. */
	SNET_A_SUBJECT_GID = 7,
	/* Audit login uid; 4294967295 when unset. */
	SNET_A_SUBJECT_LOGIN_UID = 8,
	SNET_A_SUBJECT_COMM = 9,
	/*
	 * Path of the executable as d_path() prints it to the calling process, with
	 * " (deleted)" behind it when it is unlinked. Absent when it can't be told.
	 */
	SNET_A_SUBJECT_EXE = 10,
	/* Device of the executable as stat(2) shows it, in the kernel's huge encoding. */
	SNET_A_SUBJECT_EXE_DEVICE = 11,
	SNET_A_SUBJECT_EXE_INODE = 12,
	SNET_A_SUBJECT_PARENT_TGID = 13,
	/* Id of the cgroup in the default hierarchy; its inode number on a cgroup2 mount. */
	SNET_A_SUBJECT_CGROUP_ID = 14,
	/* Inode of the network namespace of the socket. */
	SNET_A_SUBJECT_NET_NS = 15,
	/* Inode of the mount namespace; 0 when it can't be told. */
	SNET_A_SUBJECT_MNT_NS = 16,
	SNET_A_SUBJECT_PID_NS = 17,
	SNET_A_SUBJECT_USER_NS = 18,
	/* private: */
	__SNET_A_SUBJECT_MAX,
	SNET_A_SUBJECT_MAX = (__SNET_A_SUBJECT_MAX - 1)
};

/* What is attempted. */
enum {
	SNET_A_OBJECT_OPERATION = 1,
	SNET_A_OBJECT_PROTOCOL = 2,
	/* Address family of the socket (AF_*). */
	SNET_A_OBJECT_FAMILY = 3,
	/* Type of the socket (SOCK_*). */
	SNET_A_OBJECT_TYPE = 4,
	/* Protocol number of the socket (IPPROTO_*, or ETH_P_* for packet sockets). */
	SNET_A_OBJECT_NUMBER = 5,
	/*
	 * 4 or 16 bytes, network order; absent when the call names no remote address.
	 * IPv4-mapped IPv6 addresses are given as IPv4, and the unspecified address as
	 * the local one that the kernel will use instead.
	 */
	SNET_A_OBJECT_REMOTE_ADDR = 6,
	/* Host order. */
	SNET_A_OBJECT_REMOTE_PORT = 7,
	SNET_A_OBJECT_LOCAL_ADDR = 8,
	/* Host order; 0 when the socket has none yet. */
	SNET_A_OBJECT_LOCAL_PORT = 9,
	SNET_A_OBJECT_FLAGS = 10,
	/* private: */
	__SNET_A_OBJECT_MAX,
	SNET_A_OBJECT_MAX = (__SNET_A_OBJECT_MAX - 1)
};

/*
 * A verdict that the kernel remembers, and the calls it is for. A process ticket counts
 * only while user id, user and network namespace, cgroup and executable are those it was
 * issued for. A program ticket names an executable in place of a process, and counts for
 * every process of the initial user namespace that runs it.
 */
enum {
	SNET_A_TICKET_PAD = 1,
	/* Chosen by the decider, not 0, unique among live tickets. */
	SNET_A_TICKET_ID = 2,
	SNET_A_TICKET_TGID = 3,
	SNET_A_TICKET_EXEC_ID = 4,
	/* Mask of operations, not 0. */
	SNET_A_TICKET_OPERATIONS = 5,
	/* Mask of protocols, not 0. */
	SNET_A_TICKET_PROTOCOLS = 6,
	/* Protocol number the socket must have; absent means any. */
	SNET_A_TICKET_NUMBER = 7,
	/* 4 or 16 bytes, bits behind the prefix zero; absent means any, also none. */
	SNET_A_TICKET_REMOTE_ADDR = 8,
	/* Length of the prefix in bits; goes with remote-addr. */
	SNET_A_TICKET_REMOTE_PREFIX = 9,
	/* A range that isn't 0 to 65535 only covers calls that name a remote address. */
	SNET_A_TICKET_REMOTE_PORT_MIN = 10,
	SNET_A_TICKET_REMOTE_PORT_MAX = 11,
	SNET_A_TICKET_LOCAL_PORT_MIN = 12,
	SNET_A_TICKET_LOCAL_PORT_MAX = 13,
	SNET_A_TICKET_VERDICT = 14,
	/*
	 * Milliseconds, counted while the machine sleeps as well. In a dump what is left.
	 * Absent means as long as the process lives.
	 */
	SNET_A_TICKET_LIFETIME = 15,
	/* The rule behind the verdict, which the kernel only keeps; 0 or absent for none. */
	SNET_A_TICKET_RULE_ID = 16,
	/* Calls decided by this ticket (dump only). */
	SNET_A_TICKET_HITS = 17,
	/* Milliseconds since the last hit; absent before the first (dump only). */
	SNET_A_TICKET_LAST_HIT = 18,
	/* Start of the process, nanoseconds since boot. */
	SNET_A_TICKET_START_TIME = 19,
	/*
	 * User the ticket is for. Given only for program tickets, where absent means any; in a
	 * dump of a process ticket the user it was issued for.
	 */
	SNET_A_TICKET_UID = 20,
	/* Network namespace the ticket was issued for (dump only). */
	SNET_A_TICKET_NET_NS = 21,
	/* Cgroup the ticket was issued for (dump only). */
	SNET_A_TICKET_CGROUP_ID = 22,
	/* Calls it may still decide; absent for no limit. Not together with inherit. */
	SNET_A_TICKET_USES = 23,
	/*
	 * Processes that the process forks get a copy each. For process tickets only, and for
	 * at most 256 of one process.
	 */
	SNET_A_TICKET_INHERIT = 24,
	/*
	 * Id of the ticket this one is an inherited copy of (dump only). Copies have ids of the
	 * kernel's, with the highest bit set; they are removed with their origin's id too.
	 */
	SNET_A_TICKET_ORIGIN = 25,
	/*
	 * Device of the executable as stat(2) shows it, in the kernel's huge encoding. It and
	 * exe-inode make a program ticket, which names no process.
	 */
	SNET_A_TICKET_EXE_DEVICE = 26,
	SNET_A_TICKET_EXE_INODE = 27,
	/* private: */
	__SNET_A_TICKET_MAX,
	SNET_A_TICKET_MAX = (__SNET_A_TICKET_MAX - 1)
};

/* One operation of the watch set. */
enum {
	SNET_A_WATCH_OPERATION = 1,
	/* Mask of the protocols for which the operation is mediated; 0 for none. */
	SNET_A_WATCH_PROTOCOLS = 2,
	/* private: */
	__SNET_A_WATCH_MAX,
	SNET_A_WATCH_MAX = (__SNET_A_WATCH_MAX - 1)
};

/* What applies to one operation when no verdict comes. */
enum {
	SNET_A_FALLBACK_OPERATION = 1,
	SNET_A_FALLBACK_VERDICT = 2,
	/* private: */
	__SNET_A_FALLBACK_MAX,
	SNET_A_FALLBACK_MAX = (__SNET_A_FALLBACK_MAX - 1)
};

/* Attributes of policy. */
enum {
	/* Milliseconds a call is held without a verdict. */
	SNET_A_POLICY_DEADLINE = 1,
	/* The same for calls of flag nonblock, io-uring or locked; defer doesn't go beyond it. */
	SNET_A_POLICY_NONBLOCK_DEADLINE = 2,
	SNET_A_POLICY_FALLBACK = 3,
	/* Calls held at once; past it the fallback applies. */
	SNET_A_POLICY_MAX_REQUESTS = 4,
	SNET_A_POLICY_MAX_REQUESTS_PER_PROCESS = 5,
	SNET_A_POLICY_MAX_TICKETS = 6,
	/* Of one process, or for one program. */
	SNET_A_POLICY_MAX_TICKETS_PER_PROCESS = 7,
	/* private: */
	__SNET_A_POLICY_MAX,
	SNET_A_POLICY_MAX = (__SNET_A_POLICY_MAX - 1)
};

/* Counters since the module was loaded, and what is held now. */
enum {
	SNET_A_STATS_PAD = 1,
	/* Watched calls. */
	SNET_A_STATS_CALLS = 2,
	SNET_A_STATS_TICKET_ALLOWED = 3,
	SNET_A_STATS_TICKET_DENIED = 4,
	/* Events sent to a decider. */
	SNET_A_STATS_EVENTS = 5,
	SNET_A_STATS_VERDICT_ALLOWED = 6,
	SNET_A_STATS_VERDICT_DENIED = 7,
	/* Fallbacks because no verdict came in time. */
	SNET_A_STATS_FALLBACK_DEADLINE = 8,
	SNET_A_STATS_FALLBACK_NO_DECIDER = 9,
	/* Fallbacks because the decider went while the call was held. */
	SNET_A_STATS_FALLBACK_DECIDER_GONE = 10,
	/* Fallbacks at once, after three deadlines in a row without a word. */
	SNET_A_STATS_FALLBACK_STALLED = 11,
	/* Fallbacks because too many calls were held. */
	SNET_A_STATS_FALLBACK_BOUNDS = 12,
	/* Fallbacks because the event could not be delivered. */
	SNET_A_STATS_FALLBACK_LOST = 13,
	/* Held calls ended by a fatal signal. */
	SNET_A_STATS_KILLED = 14,
	/* Calls refused because of a source route. */
	SNET_A_STATS_REFUSED = 15,
	/* Audit messages that were not sent, for their rate or for want of room. */
	SNET_A_STATS_AUDIT_DROPPED = 16,
	/* Calls held now. */
	SNET_A_STATS_HELD = 17,
	/* Tickets now. */
	SNET_A_STATS_TICKETS = 18,
	/* Processes and programs that have tickets now. */
	SNET_A_STATS_OWNERS = 19,
	/* Process id of the registered decider; absent when there is none. */
	SNET_A_STATS_DECIDER = 20,
	/* private: */
	__SNET_A_STATS_MAX,
	SNET_A_STATS_MAX = (__SNET_A_STATS_MAX - 1)
};

/* Top-level attributes of every message. */
enum {
	SNET_A_MAIN_PAD = 1,
	SNET_A_MAIN_ABI_VERSION = 2,
	SNET_A_MAIN_REQUEST_ID = 3,
	SNET_A_MAIN_SUBJECT = 4,
	SNET_A_MAIN_OBJECT = 5,
	/* Milliseconds until the fallback applies. */
	SNET_A_MAIN_DEADLINE = 6,
	SNET_A_MAIN_VERDICT = 7,
	SNET_A_MAIN_TICKET = 8,
	SNET_A_MAIN_WATCH = 9,
	SNET_A_MAIN_POLICY = 10,
	SNET_A_MAIN_STATS = 11,
	SNET_A_MAIN_TICKET_ID = 12,
	SNET_A_MAIN_RULE_ID = 13,
	SNET_A_MAIN_TGID = 14,
	SNET_A_MAIN_CAUSE = 15,
	/* Audit messages dropped since the one before this. */
	SNET_A_MAIN_DROPPED = 16,
	/* When the call was decided, milliseconds since 1970 (UTC). */
	SNET_A_MAIN_TIME = 17,
	/* private: */
	__SNET_A_MAIN_MAX,
	SNET_A_MAIN_MAX = (__SNET_A_MAIN_MAX - 1)
};

enum {
	/*
	 * Become the decider. Events go to the socket that sent this, until it closes, or the
	 * process sends unregister, ends or executes a program, also if another one still has
	 * the socket open. Only the same process may answer them.
	 */
	SNET_CMD_REGISTER = 1,
	/*
	 * Stop being the decider; held calls get the fallback at once, as when its socket closes
	 * or its process ends. Those that were deferred stay for as long as a deadline, so that
	 * the next decider finds them with request-get.
	 */
	SNET_CMD_UNREGISTER = 2,
	/* Replace the watch set of each operation that is named. */
	SNET_CMD_WATCH_SET = 3,
	/* One message per operation. */
	SNET_CMD_WATCH_GET = 4,
	/* Watch nothing. */
	SNET_CMD_WATCH_FLUSH = 5,
	/* Set the deadlines, fallbacks and bounds that are named; the others stay. */
	SNET_CMD_POLICY_SET = 6,
	SNET_CMD_POLICY_GET = 7,
	/* A held call, unicast to the decider. */
	SNET_CMD_EVENT = 8,
	/* All calls still held, in the form of events. */
	SNET_CMD_REQUEST_GET = 9,
	/*
	 * Decide a held call, and keep the tickets that are given with it: for the process
	 * that asked, so they name none. EEXIST, ENOSPC and ESRCH say that the verdict counts
	 * but that no ticket was kept; ENOENT that the call isn't held any more.
	 */
	SNET_CMD_VERDICT = 10,
	/*
	 * Give one held call a new deadline, counted from now. ENOENT when it isn't held any more.
	 * A call of flag nonblock, io-uring or locked is never held longer than the
	 * nonblock-deadline that was in force when it began: EINVAL, and its deadline stays.
	 */
	SNET_CMD_DEFER = 11,
	/*
	 * Give tickets to running processes, named by tgid, start-time and exec-id, or to
	 * programs, named by exe-device and exe-inode. ESRCH when there is no such process, ESTALE
	 * when it is another one or runs another program now.
	 */
	SNET_CMD_TICKET_ADD = 12,
	/*
	 * Remove a ticket and its copies by its id, or all tickets of a rule or of a process: one
	 * of these is named. ENOENT when there was none.
	 */
	SNET_CMD_TICKET_DEL = 13,
	/* One message per ticket. */
	SNET_CMD_TICKET_GET = 14,
	/* Remove all tickets. */
	SNET_CMD_TICKET_FLUSH = 15,
	SNET_CMD_STATS_GET = 16,
	/*
	 * What the kernel decided alone, to whoever listens to the group of this name. The
	 * ticket's id and its rule go with cause `ticket`.
	 */
	SNET_CMD_AUDIT = 17,
	/* private: */
	__SNET_CMD_MAX,
	SNET_CMD_MAX = (__SNET_CMD_MAX - 1)
};

#endif /* _UAPI_LINUX_SNET_H */
