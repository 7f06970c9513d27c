/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stage for the tests of requests: request.c itself, with stand-ins for decider, messages,
 * subjects and tickets that a test commands through `fake`, and callers, which are kernel threads
 * that pose as processes. Included by request_test.c alone.
 */
#ifndef SNET_TEST_REQUEST_STAGE_H
#define SNET_TEST_REQUEST_STAGE_H

#include <linux/kthread.h>

#include "../audit.h"
#include "../decider.h"
#include "../message.h"
#include "../subject.h"
#include "../ticket.h"
#include "runner.h"

#define MAX_CALLERS	16
#define FOREVER_MS	600000

/* A held call: the thread, the process that it poses as, and what came of it. */
struct caller {
	struct task_struct *task;
	struct pid *process;
	struct snet_object object;
	int result;
	bool answered;
};

static struct caller callers[MAX_CALLERS];
static u32 flags_of_calls;
static u8 processes[MAX_CALLERS];	/* their addresses stand for processes */

static struct {
	u32 portid;
	bool stalled;
	int send_err;
	int ticket_err;
	atomic_t misses;
	atomic_t audited;	/* and why the last was */
	enum snet_cause cause;
	atomic_t events;
	struct pid *ticketed;
} fake;

static u32 fake_portid(void)
{
	return READ_ONCE(fake.portid);
}

static bool fake_stalled(void)
{
	return fake.stalled;
}

static void fake_missed(void)
{
	atomic_inc(&fake.misses);
}

static void fake_audit(const struct snet_object *object, enum snet_cause cause,
		       enum snet_verdict verdict, const struct snet_ticket_hit *hit)
{
	WRITE_ONCE(fake.cause, cause);
	atomic_inc(&fake.audited);
}

static int fake_send(const struct snet_request_view *view, u32 portid)
{
	atomic_inc(&fake.events);
	return fake.send_err;
}

static void fake_subject_fill(struct snet_subject *subject, struct net *net)
{
	const struct caller *caller = kthread_data(current);

	memset(subject, 0, sizeof(*subject));
	subject->identity.pid = caller->process;
}

static void fake_subject_release(struct snet_subject *subject)
{
}

static bool fake_identity_equal(const struct snet_identity *a, const struct snet_identity *b)
{
	return a->pid == b->pid;
}

static bool fake_object_equal(const struct snet_object *a, const struct snet_object *b)
{
	return a->remote.port == b->remote.port;
}

static int fake_tickets_install(struct list_head *batch, const struct snet_identity *who);

#define snet_audit		fake_audit
#define snet_decider_portid	fake_portid
#define snet_decider_stalled	fake_stalled
#define snet_decider_missed	fake_missed
#define snet_message_send_event	fake_send
#define snet_subject_fill	fake_subject_fill
#define snet_subject_release	fake_subject_release
#define snet_identity_equal	fake_identity_equal
#define snet_object_equal	fake_object_equal
#define snet_tickets_install	fake_tickets_install
#include "../request.c"

static int fake_tickets_install(struct list_head *batch, const struct snet_identity *who)
{
	lockdep_assert_held(&table_lock);
	fake.ticketed = who->pid;
	if (!fake.ticket_err)
		INIT_LIST_HEAD(batch);
	return fake.ticket_err;
}

/* The id of the newest request, which is in the table before its event is sent. */
static u64 newest(void)
{
	return READ_ONCE(last_id);
}

static int caller_main(void *data)
{
	struct caller *caller = data;

	caller->result = snet_request_hold(&caller->object);
	smp_store_release(&caller->answered, true);
	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* A thread of @process connects to @port, and is held or not. */
static struct caller *call(int process, u16 port)
{
	struct caller *caller = callers;

	while (caller->task)
		caller++;
	*caller = (struct caller) {
		.process = (struct pid *)&processes[process],
		.object = { .operation = SNET_OP_CONNECT, .remote = { .len = 4, .port = port },
			    .flags = flags_of_calls },
	};
	caller->task = kthread_create(caller_main, caller, "snet_caller");
	if (!EXPECT(!IS_ERR(caller->task))) {
		caller->task = NULL;
		return caller;
	}
	get_task_struct(caller->task);
	wake_up_process(caller->task);
	return caller;
}

/* One more than @others are held, so that the new one surely waits. */
static struct caller *call_held(int process, u16 port, u32 others)
{
	struct caller *caller = call(process, port);

	EXPECT_SOON(snet_requests_count() == others + 1);
	return caller;
}

static bool answered(const struct caller *caller)
{
	return smp_load_acquire(&caller->answered);
}

static int result_of_call(const struct caller *caller)
{
	EXPECT_SOON(answered(caller));
	return caller->result;
}

static int decide(u64 id, enum snet_verdict verdict)
{
	LIST_HEAD(none);
	int ticket_err;

	return snet_request_decide(id, verdict, &none, &ticket_err);
}

static void set_up(void)
{
	int operation;

	memset(callers, 0, sizeof(callers));
	memset(&fake, 0, sizeof(fake));
	flags_of_calls = 0;
	fake.portid = 1;
	closed = false;
	snet_policy.deadline_ms = FOREVER_MS;
	snet_policy.nonblock_deadline_ms = FOREVER_MS;
	snet_policy.max_requests = 4096;
	snet_policy.max_requests_per_process = 64;
	for (operation = 0; operation < SNET_OPS; operation++)
		snet_policy.fallback[operation] = SNET_VERDICT_DENY;
}

/* Ends whatever is held; then nothing may be left. */
static void tear_down(void)
{
	int i;

	for (i = 0; i < MAX_CALLERS && callers[i].task; i++) {
		while (!answered(&callers[i])) {
			snet_requests_close();
			msleep(1);
		}
		kthread_stop(callers[i].task);
		put_task_struct(callers[i].task);
		callers[i].task = NULL;
	}
	EXPECT_EQUAL(snet_requests_count(), 0);
	EXPECT(list_empty(&requests));
	EXPECT(hash_empty(by_id));
	EXPECT(hash_empty(by_process));
	EXPECT_EQUAL(atomic_read(&in_flight), 0);
}

#endif /* SNET_TEST_REQUEST_STAGE_H */
