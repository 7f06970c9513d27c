/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernel versions. No other file asks for a version.
 */
#ifndef SNET_COMPAT_H
#define SNET_COMPAT_H

#include "requirements.h"

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "snet needs Linux 6.1 or newer"
#endif

#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/ns_common.h>
#include <linux/proc_ns.h>
#include <linux/sched.h>
#include <net/genetlink.h>

/* Renamed in 6.2; a silent no-op where the architecture can't do it, see attach.c. */
static __always_inline void compat_set_instruction_pointer(struct ftrace_regs *fregs,
							   unsigned long ip)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	ftrace_regs_set_instruction_pointer(fregs, ip);
#else
	ftrace_instruction_pointer_set(fregs, ip);
#endif
}

/* Is that an address in the code of this module? */
static __always_inline bool compat_is_own_code(unsigned long address)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return within_module_mem_type(address, THIS_MODULE, MOD_TEXT);
#else
	return within_module_core(address, THIS_MODULE);
#endif
}

/* The executable of @mm with a reference, or NULL. get_mm_exe_file() isn't exported. */
static inline struct file *compat_get_exe_file(struct mm_struct *mm)
{
	struct file *file;

	rcu_read_lock();
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	file = get_file_rcu(&mm->exe_file);
#else
	file = rcu_dereference(mm->exe_file);
	if (file && !get_file_rcu(file))
		file = NULL;
#endif
	rcu_read_unlock();
	return file;
}

/* In 6.7, and in the stable series from 5.10.204, 5.15.143 and 6.1.68 on. */
#ifdef GENL_MCAST_CAP_NET_ADMIN
#define COMPAT_MCGRP_ADMIN GENL_MCAST_CAP_NET_ADMIN
#else
#error "this kernel lets everybody join multicast groups of netlink: take a newer one of its series"
#endif

static inline bool compat_is_mnt_ns(const struct ns_common *ns)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	return ns->ns_type == CLONE_NEWNS;
#else
	return ns->ops && ns->ops->type == CLONE_NEWNS;
#endif
}

/* Parameters of a probe of sched_process_exit. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define COMPAT_EXIT_PROBE_PARAMS void *data, struct task_struct *task, bool group_dead
#else
#define COMPAT_EXIT_PROBE_PARAMS void *data, struct task_struct *task
#endif

/*
 * Parameters of a protocol's accept(), and these as a struct proto_accept_arg *arg, which
 * came with 6.10.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define COMPAT_ACCEPT_PARAMS struct socket *sock, struct socket *newsock, struct proto_accept_arg *arg
#define COMPAT_ACCEPT_ARGS sock, newsock, arg
#define COMPAT_ACCEPT_ARG
#else
struct proto_accept_arg {
	int flags;
	bool kern;
};
#define COMPAT_ACCEPT_PARAMS struct socket *sock, struct socket *newsock, int flags, bool kern
#define COMPAT_ACCEPT_ARGS sock, newsock, arg->flags, arg->kern
#define COMPAT_ACCEPT_ARG struct proto_accept_arg args = { flags, kern }, *arg = &args;
#endif

/*
 * The RCU pointer to the flow labels of an IPv6 socket, which moved in 6.19, and in older
 * series by their stable releases: Kbuild looks where it is.
 */
#ifdef COMPAT_FLOW_LABELS_MOVED
#define compat_flow_labels(sk) (inet_sk(sk)->ipv6_fl_list)
#else
#define compat_flow_labels(sk) (inet6_sk(sk)->ipv6_fl_list)
#endif

#endif /* SNET_COMPAT_H */
