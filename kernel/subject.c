// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the subject of a call, in the calling thread: nothing here is looked up by number,
 * so that nothing can have gone or been replaced. Only snet_identity_of() looks at another
 * process, for tickets that the decider gives unasked.
 */
#include <linux/audit.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mnt_namespace.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "subject.h"

static u64 cgroup_id_of(struct task_struct *task)
{
	u64 id;

	rcu_read_lock();
	id = snet_cgroup_id(task);
	rcu_read_unlock();
	return id;
}

static void identity_set_exe(struct snet_identity *identity, struct mm_struct *mm)
{
	struct file *exe = mm ? compat_get_exe_file(mm) : NULL;

	identity->exe = exe ? file_inode(exe) : NULL;
	identity->exe_inode = exe ? identity->exe->i_ino : 0;
	if (exe)
		fput(exe);
}

/* The identity of the calling process, for a socket in @net. Takes no reference on the pid. */
void snet_identity_fill(struct snet_identity *identity, struct net *net)
{
	*identity = (struct snet_identity) {
		.pid = task_tgid(current),
		.exec_id = READ_ONCE(current->self_exec_id),
		.start_time = current->group_leader->start_boottime,
		.uid = current_euid(),
		.net_cookie = net->net_cookie,
		.net_ns = net->ns.inum,
		.user_ns = current_user_ns(),
		.cgroup_id = cgroup_id_of(current),
	};
	identity_set_exe(identity, current->mm);
}

bool snet_identity_equal(const struct snet_identity *a, const struct snet_identity *b)
{
	return a->pid == b->pid && a->exec_id == b->exec_id && uid_eq(a->uid, b->uid) &&
	       a->net_cookie == b->net_cookie && a->user_ns == b->user_ns &&
	       a->cgroup_id == b->cgroup_id && a->exe == b->exe && a->exe_inode == b->exe_inode;
}

static int identity_of_task(struct snet_identity *identity, struct task_struct *task)
{
	const struct cred *cred = get_task_cred(task);
	struct mm_struct *mm = get_task_mm(task);
	int err = -ESRCH;

	identity->exec_id = READ_ONCE(task->self_exec_id);
	identity->start_time = task->start_boottime;
	identity->uid = cred->euid;
	identity->user_ns = cred->user_ns;
	identity->cgroup_id = cgroup_id_of(task);
	identity_set_exe(identity, mm);
	task_lock(task);
	if (task->nsproxy) {
		struct net *net = task->nsproxy->net_ns;

		identity->net_cookie = net->net_cookie;
		identity->net_ns = net->ns.inum;
		err = 0;
	}
	task_unlock(task);
	put_cred(cred);
	if (!mm)
		return -ESRCH;
	mmput(mm);
	return err;
}

/**
 * snet_identity_of - the identity of another process
 * @identity: written whole; its pid is referenced when 0 is returned
 * @tgid: the process, in the initial pid namespace
 * @start_time: its start, nanoseconds since boot: a number may have a second owner
 * @exec_id: the execution that is meant
 *
 * Returns 0; -ESRCH when there is no such process, -ESTALE when it is another one or has
 * executed another program since.
 */
int snet_identity_of(struct snet_identity *identity, u32 tgid, u64 start_time, u64 exec_id)
{
	struct task_struct *task;
	int err;

	memset(identity, 0, sizeof(*identity));
	if (tgid > PID_MAX_LIMIT)
		return -ESRCH;
	rcu_read_lock();
	identity->pid = get_pid(find_pid_ns(tgid, &init_pid_ns));
	rcu_read_unlock();
	if (!identity->pid)
		return -ESRCH;
	task = get_pid_task(identity->pid, PIDTYPE_TGID);
	err = task ? identity_of_task(identity, task) : -ESRCH;
	if (task)
		put_task_struct(task);
	if (!err && (identity->start_time != start_time || identity->exec_id != exec_id))
		err = -ESTALE;
	if (err)
		put_pid(identity->pid);
	return err;
}

static char *exe_path(struct file *exe)
{
	char *page = __getname();
	char *path, *copy = NULL;

	if (!page)
		return NULL;
	path = file_path(exe, page, PATH_MAX);
	if (!IS_ERR(path))
		copy = kstrdup(path, GFP_KERNEL);
	__putname(page);
	return copy;
}

/*
 * Device and inode as stat(2) shows them: on overlayfs and btrfs the inode's own numbers
 * differ. May sleep.
 */
bool snet_exe_stat(const struct file *exe, u64 *device, u64 *inode)
{
	struct kstat stat;

	if (vfs_getattr_nosec(&exe->f_path, &stat, STATX_INO, AT_STATX_DONT_SYNC))
		return false;
	*device = huge_encode_dev(stat.dev);
	*inode = stat.ino;
	return true;
}

static void subject_set_exe(struct snet_subject *subject)
{
	struct file *exe = current->mm ? compat_get_exe_file(current->mm) : NULL;

	if (!exe)
		return;
	if (snet_exe_stat(exe, &subject->exe_device, &subject->exe_inode))
		subject->exe = exe_path(exe);
	fput(exe);
}

/*
 * struct mnt_namespace is private to fs/, and from_mnt_ns() isn't exported; its ns_common
 * comes first. Whether it still does shows in its type.
 */
static u32 mnt_ns_inum(void)
{
	struct ns_common *ns = (struct ns_common *)current->nsproxy->mnt_ns;

	return compat_is_mnt_ns(ns) ? ns->inum : 0;
}

/**
 * snet_subject_fill - say who calls
 * @subject: written whole; holds a pid reference and a path until snet_subject_release()
 * @net: network namespace of the socket
 *
 * May sleep. What can't be told is left 0 or NULL.
 */
void snet_subject_fill(struct snet_subject *subject, struct net *net)
{
	memset(subject, 0, sizeof(*subject));
	snet_identity_fill(&subject->identity, net);
	get_pid(subject->identity.pid);
	subject->tgid = task_tgid_nr(current);
	subject->tid = task_pid_nr(current);
	rcu_read_lock();
	subject->parent_tgid = task_tgid_nr(rcu_dereference(current->real_parent));
	rcu_read_unlock();
	subject->gid = current_egid();
	subject->login_uid = audit_get_loginuid(current);
	get_task_comm(subject->comm, current);
	subject_set_exe(subject);
	if (current->nsproxy)
		subject->mnt_ns = mnt_ns_inum();
	subject->pid_ns = task_active_pid_ns(current)->ns.inum;
	subject->user_ns = current_user_ns()->ns.inum;
}

void snet_subject_release(struct snet_subject *subject)
{
	put_pid(subject->identity.pid);
	kfree(subject->exe);
}
