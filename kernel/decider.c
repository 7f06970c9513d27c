// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who decides. Owns the registration, its end (unregister, close of the socket, death) and
 * the count of deadlines missed in a row. The end completes all requests.
 */
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <net/net_namespace.h>
#include <net/netlink.h>

#include "decider.h"
#include "request.h"

#define MISSES_UNTIL_STALLED 3

/* Protects the changes of pid and portid, which are read without it. Innermost. */
static DEFINE_SPINLOCK(decider_lock);
static struct pid *decider_pid;	/* referenced; compared only, never followed, without the lock */
static u32 decider_portid;	/* 0 when there is none */
static atomic_t misses;

bool snet_decider_is_current(void)
{
	return READ_ONCE(decider_pid) == task_tgid(current);
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
		WRITE_ONCE(decider_pid, get_pid(task_tgid(current)));
		WRITE_ONCE(decider_portid, portid);
		err = 0;
	}
	spin_unlock(&decider_lock);
	return err;
}

/* @portid 0 means whichever is registered. */
static bool decider_clear(u32 portid)
{
	struct pid *pid = NULL;

	spin_lock(&decider_lock);
	if (decider_pid && (!portid || portid == decider_portid)) {
		pid = decider_pid;
		WRITE_ONCE(decider_portid, 0);
		WRITE_ONCE(decider_pid, NULL);
	}
	spin_unlock(&decider_lock);
	put_pid(pid);
	return pid;
}

void snet_decider_drop(void)
{
	if (decider_clear(0))
		snet_requests_complete_all(SNET_OUTCOME_DECIDER_GONE);
}

/* -EPERM when another process decides, or none. */
int snet_decider_unregister(void)
{
	if (!snet_decider_is_current())
		return -EPERM;
	snet_decider_drop();
	return 0;
}

/* Any command of the decider is a sign of life. */
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
	    net_eq(notify->net, &init_net) && notify->portid && decider_clear(notify->portid))
		snet_requests_complete_all(SNET_OUTCOME_DECIDER_GONE);
	return NOTIFY_DONE;
}

static struct notifier_block release_notifier = {
	.notifier_call = socket_released,
};

int snet_decider_init(void)
{
	return netlink_register_notifier(&release_notifier);
}

void snet_decider_exit(void)
{
	netlink_unregister_notifier(&release_notifier);
	decider_clear(0);
}
