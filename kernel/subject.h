/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who attempts a call.
 */
#ifndef SNET_SUBJECT_H
#define SNET_SUBJECT_H

#include <linux/cgroup.h>
#include <linux/fs.h>
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <linux/uidgid.h>
#include <net/net_namespace.h>

/*
 * The part of a subject that a ticket is bound to. @pid is the struct pid of the thread
 * group: while it is referenced its address belongs to no other process.
 */
struct snet_identity {
	struct pid *pid;	/* referenced by whoever keeps the identity */
	u64 exec_id;
	u64 start_time;		/* nanoseconds since boot */
	kuid_t uid;		/* effective */
	u64 net_cookie;
	u32 net_ns;
	u64 cgroup_id;
	/*
	 * Compared, never followed. A process keeps its executable, and its user namespace as
	 * an ancestor of any later one, so that another at the same address isn't taken for it.
	 */
	const struct user_namespace *user_ns;
	const struct inode *exe;	/* NULL when it can't be told */
	u64 exe_inode;			/* its own number, not as stat(2) shows it */
};

struct snet_subject {
	struct snet_identity identity;
	u32 tgid;
	u32 tid;
	u32 parent_tgid;
	kgid_t gid;
	kuid_t login_uid;
	char comm[TASK_COMM_LEN];
	char *exe;		/* path, or NULL when it can't be told */
	u64 exe_device;		/* as stat(2) shows it */
	u64 exe_inode;
	u32 mnt_ns;
	u32 pid_ns;
	u32 user_ns;
};

/* Id of the cgroup of @task in the default hierarchy. Under RCU. */
static inline u64 snet_cgroup_id(struct task_struct *task)
{
#ifdef CONFIG_CGROUPS
	return cgroup_id(task_dfl_cgroup(task));
#else
	return 0;
#endif
}

/* Does the calling process run this? Under RCU. */
static inline bool snet_exe_is(const struct inode *inode, u64 number)
{
	const struct file *exe = rcu_dereference(current->mm->exe_file);

	/* A file may be reused under RCU; then it is another one, and so is its inode. */
	return inode && exe && READ_ONCE(exe->f_inode) == inode && inode->i_ino == number;
}

bool snet_exe_stat(const struct file *exe, u64 *device, u64 *inode);
void snet_identity_fill(struct snet_identity *identity, struct net *net);
int snet_identity_of(struct snet_identity *identity, u32 tgid, u64 start_time, u64 exec_id);
bool snet_identity_equal(const struct snet_identity *a, const struct snet_identity *b);
void snet_subject_fill(struct snet_subject *subject, struct net *net);
void snet_subject_release(struct snet_subject *subject);

#endif /* SNET_SUBJECT_H */
