// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who decides. Owns the registration, its end and the count of deadlines missed in a row. It
 * ends with unregister, the close of the socket, the end of the process and its execve(), also
 * when somebody else still has the socket open. The end completes all requests but those that
 * were deferred, which have one more deadline to be taken up by the next decider.
 */
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/netlink.h>

#include "decider.h"
#include "request.h"

#define MISSES_UNTIL_STALLED 3

/* Protects the changes of the registration, which is read without it. Innermost. */
static DEFINE_SPINLOCK(decider_lock);
static struct pid *decider_pid;	/* referenced; compared only, never followed, without the lock */
static u64 decider_exec_id;
static u32 decider_portid;	/* 0 when there is none */
static atomic_t misses;

static void clear_ended(struct work_struct *work);
static DECLARE_WORK(ended_work, clear_ended);

/* Both are only ever set to the process by itself. */
bool snet_decider_is_current(void)
{
	return READ_ONCE(decider_pid) == task_tgid(current) &&
	       READ_ONCE(decider_exec_id) == READ_ONCE(current->self_exec_id);
}

u32 snet_decider_portid(void)
{
	return READ_ONCE(decider_portid);
}

u32 snet_decider_tgid(void)
{
	u32 tgid;

	spin_lock(&decider_lock);
	tgid = pid_nr(decider_pid);
	spin_unlock(&decider_lock);
	return tgid;
}

int snet_decider_register(u32 portid)
{
	int err = -EBUSY;

	spin_lock(&decider_lock);
	if (!decider_pid) {
		atomic_set(&misses, 0);
		WRITE_ONCE(decider_exec_id, READ_ONCE(current->self_exec_id));
		WRITE_ONCE(decider_pid, get_pid(task_tgid(current)));
		WRITE_ONCE(decider_portid, portid);
		err = 0;
	}
	spin_unlock(&decider_lock);
	return err;
}

static bool has_ended_locked(void)
{
	const struct task_struct *task;
	bool ended;

	rcu_read_lock();
	task = pid_task(decider_pid, PIDTYPE_TGID);
	ended = !task || !atomic_read(&task->signal->live) ||
		READ_ONCE(task->self_exec_id) != decider_exec_id;
	rcu_read_unlock();
	return ended;
}

/* @portid 0 means whichever is registered; @ended, only if its process has ended. */
static bool decider_clear(u32 portid, bool ended)
{
	struct pid *pid = NULL;

	spin_lock(&decider_lock);
	if (decider_pid && (!portid || portid == decider_portid) &&
	    (!ended || has_ended_locked())) {
		pid = decider_pid;
		WRITE_ONCE(decider_portid, 0);
		WRITE_ONCE(decider_pid, NULL);
	}
	spin_unlock(&decider_lock);
	put_pid(pid);
	return pid;
}

static void decider_end(u32 portid, bool ended)
{
	if (decider_clear(portid, ended))
		snet_requests_orphan();
}

void snet_decider_drop(void)
{
	decider_end(0, false);
}

static void clear_ended(struct work_struct *work)
{
	decider_end(0, true);
}

/* The calling process has ended or executed a program. Any context. */
void snet_decider_void(void)
{
	if (READ_ONCE(decider_pid) == task_tgid(current))
		schedule_work(&ended_work);
}

/* -EPERM when another process decides, or none. */
int snet_decider_unregister(void)
{
	if (!snet_decider_is_current())
		return -EPERM;
	snet_decider_drop();
	return 0;
}

/* A verdict, a deferral, a policy, and a question for requests or counters are signs of life. */
void snet_decider_spoke(void)
{
	if (snet_decider_is_current() && atomic_read(&misses))
		atomic_set(&misses, 0);
}

void snet_decider_missed(void)
{
	atomic_inc(&misses);
}

bool snet_decider_stalled(void)
{
	return atomic_read(&misses) >= MISSES_UNTIL_STALLED;
}

static int socket_released(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct netlink_notify *notify = data;

	if (event == NETLINK_URELEASE && notify->protocol == NETLINK_GENERIC &&
	    net_eq(notify->net, &init_net) && notify->portid)
		decider_end(notify->portid, false);
	return NOTIFY_DONE;
}

static struct notifier_block release_notifier = {
	.notifier_call = socket_released,
};

int snet_decider_init(void)
{
	return netlink_register_notifier(&release_notifier);
}

/* No probe of snet_decider_void() may run any more. */
void snet_decider_exit(void)
{
	netlink_unregister_notifier(&release_notifier);
	cancel_work_sync(&ended_work);
	decider_clear(0, false);
}
