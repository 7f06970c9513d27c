// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of requests. Owns the waiting, its bounds, and that each request is completed
 * exactly once: outcome is set under table_lock, and only when it is unset.
 *
 * A request lives as long as its thread waits: the thread makes it, and takes it out of the
 * table itself before it frees it. So whoever finds it under the lock may use it there.
 *
 * table_lock comes before the ticket table's lock. Nothing sleeps under it.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/freezer.h>
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "decider.h"
#include "message.h"
#include "policy.h"
#include "request.h"
#include "stats.h"
#include "ticket.h"

struct request {
	struct list_head node;		/* of the table, by rising id */
	struct hlist_node by_id;
	struct hlist_node by_process;
	u64 id;
	struct task_struct *task;
	struct snet_subject subject;
	struct snet_object object;
	unsigned long deadline;		/* jiffies; READ_ONCE()/WRITE_ONCE() */
	enum snet_outcome outcome;	/* the same */
};

static DEFINE_SPINLOCK(table_lock);
static LIST_HEAD(requests);
static DEFINE_HASHTABLE(by_id, 10);
static DEFINE_HASHTABLE(by_process, 8);
static u32 request_count;
static u64 last_id;
static bool closed;

/* Threads between the first instruction that may sleep and the last of the wait. */
static atomic_t in_flight = ATOMIC_INIT(0);

static const enum snet_counter counter_of[SNET_OUTCOMES] = {
	[SNET_OUTCOME_ALLOWED] = SNET_COUNT_VERDICT_ALLOWED,
	[SNET_OUTCOME_DENIED] = SNET_COUNT_VERDICT_DENIED,
	[SNET_OUTCOME_DEADLINE] = SNET_COUNT_FALLBACK_DEADLINE,
	[SNET_OUTCOME_NO_DECIDER] = SNET_COUNT_FALLBACK_NO_DECIDER,
	[SNET_OUTCOME_DECIDER_GONE] = SNET_COUNT_FALLBACK_DECIDER_GONE,
	[SNET_OUTCOME_STALLED] = SNET_COUNT_FALLBACK_STALLED,
	[SNET_OUTCOME_BOUNDS] = SNET_COUNT_FALLBACK_BOUNDS,
	[SNET_OUTCOME_LOST] = SNET_COUNT_FALLBACK_LOST,
	[SNET_OUTCOME_KILLED] = SNET_COUNT_KILLED,
};

static void complete_locked(struct request *request, enum snet_outcome outcome)
{
	if (request->outcome != SNET_OUTCOME_NONE)
		return;
	WRITE_ONCE(request->outcome, outcome);
	wake_up_process(request->task);
}

static u32 held_by_locked(const struct pid *pid)
{
	const struct request *request;
	u32 count = 0;

	hash_for_each_possible(by_process, request, by_process, (unsigned long)pid)
		count += request->subject.identity.pid == pid;
	return count;
}

static u32 deadline_ms_for(const struct snet_object *object)
{
	if (object->flags & (SNET_CALL_NONBLOCK | SNET_CALL_IO_URING))
		return READ_ONCE(snet_policy.nonblock_deadline_ms);
	return READ_ONCE(snet_policy.deadline_ms);
}

/* SNET_OUTCOME_NONE when the request now waits in the table. */
static enum snet_outcome enter(struct request *request)
{
	struct pid *pid = request->subject.identity.pid;
	enum snet_outcome outcome = SNET_OUTCOME_NONE;

	spin_lock(&table_lock);
	/* Under the lock: whoever drops the decider completes the table after it. */
	if (closed || !snet_decider_portid())
		outcome = SNET_OUTCOME_NO_DECIDER;
	else if (request_count >= READ_ONCE(snet_policy.max_requests) ||
		 held_by_locked(pid) >= READ_ONCE(snet_policy.max_requests_per_process))
		outcome = SNET_OUTCOME_BOUNDS;
	if (outcome == SNET_OUTCOME_NONE) {
		request->id = ++last_id;
		request->deadline = jiffies +
				    msecs_to_jiffies(deadline_ms_for(&request->object));
		list_add_tail(&request->node, &requests);
		hash_add(by_id, &request->by_id, request->id);
		hash_add(by_process, &request->by_process, (unsigned long)pid);
		request_count++;
	}
	spin_unlock(&table_lock);
	return outcome;
}

static enum snet_outcome leave(struct request *request)
{
	enum snet_outcome outcome;

	spin_lock(&table_lock);
	if (request->outcome == SNET_OUTCOME_NONE)
		request->outcome = fatal_signal_pending(current) ? SNET_OUTCOME_KILLED :
								   SNET_OUTCOME_DEADLINE;
	outcome = request->outcome;
	list_del(&request->node);
	hash_del(&request->by_id);
	hash_del(&request->by_process);
	request_count--;
	spin_unlock(&table_lock);
	return outcome;
}

static u32 left_ms(const struct request *request)
{
	long left = READ_ONCE(request->deadline) - jiffies;

	return left > 0 ? jiffies_to_msecs(left) : 1;
}

static void view_fill(struct snet_request_view *view, const struct request *request)
{
	*view = (struct snet_request_view) {
		.id = request->id,
		.subject = &request->subject,
		.object = &request->object,
		.deadline_ms = left_ms(request),
	};
}

/* A full socket isn't the end: the decider reads ENOBUFS and dumps what is held. */
static bool tell_decider(const struct request *request)
{
	struct snet_request_view view;
	int err;

	view_fill(&view, request);
	err = snet_message_send_event(&view, snet_decider_portid());
	if (!err)
		snet_count(SNET_COUNT_EVENTS);
	return !err || err == -EAGAIN;
}

/* Killable, and freezable so that a held thread doesn't keep the machine from suspending. */
static void wait_for_outcome(struct request *request)
{
	for (;;) {
		long left;

		set_current_state(TASK_KILLABLE | TASK_FREEZABLE);
		left = READ_ONCE(request->deadline) - jiffies;
		if (READ_ONCE(request->outcome) != SNET_OUTCOME_NONE ||
		    fatal_signal_pending(current) || left <= 0)
			break;
		schedule_timeout(left);
	}
	__set_current_state(TASK_RUNNING);
}

static enum snet_outcome ask(const struct snet_object *object)
{
	enum snet_outcome outcome = SNET_OUTCOME_LOST;
	struct request *request;

	request = kzalloc(sizeof(*request), GFP_KERNEL);
	if (!request)
		return outcome;
	request->task = current;
	request->object = *object;
	snet_subject_fill(&request->subject, object->net);
	outcome = enter(request);
	if (outcome == SNET_OUTCOME_NONE) {
		bool told = tell_decider(request);

		if (told)
			wait_for_outcome(request);
		outcome = leave(request);
		if (!told && outcome == SNET_OUTCOME_DEADLINE)
			outcome = SNET_OUTCOME_LOST;
	}
	snet_subject_release(&request->subject);
	kfree(request);
	return outcome;
}

static int result_of(enum snet_outcome outcome, enum snet_operation operation)
{
	snet_count(counter_of[outcome]);
	switch (outcome) {
	case SNET_OUTCOME_ALLOWED:
		return 0;
	case SNET_OUTCOME_DENIED:
		return -EACCES;
	case SNET_OUTCOME_KILLED:
		return -EINTR;
	default:
		return snet_fallback(operation) == SNET_VERDICT_ALLOW ? 0 : -EACCES;
	}
}

/**
 * snet_request_hold - hold the calling thread until its call is decided
 * @object: the call
 *
 * Returns 0 when the call may go on, -EACCES when it may not, -EINTR when the thread is
 * being killed.
 */
int snet_request_hold(const struct snet_object *object)
{
	enum snet_outcome outcome;

	/* Before anything here sleeps: unload waits for it. */
	atomic_inc(&in_flight);
	if (!snet_decider_portid())
		outcome = SNET_OUTCOME_NO_DECIDER;
	else if (snet_decider_stalled())
		outcome = SNET_OUTCOME_STALLED;
	else
		outcome = ask(object);
	if (outcome == SNET_OUTCOME_DEADLINE)
		snet_decider_missed();
	atomic_dec(&in_flight);
	return result_of(outcome, object->operation);
}

static struct request *find_locked(u64 id)
{
	struct request *request;

	hash_for_each_possible(by_id, request, by_id, id)
		if (request->id == id)
			return request->outcome == SNET_OUTCOME_NONE ? request : NULL;
	return NULL;
}

/**
 * snet_request_decide - complete a request with the decider's verdict
 * @id: the request
 * @verdict: the verdict
 * @tickets: tickets to keep for its process, maybe none; emptied when they are kept
 * @ticket_err: why they weren't kept, see snet_tickets_install()
 *
 * Returns 0, or -ENOENT when nothing is held under @id any more. The verdict counts also
 * when the tickets can't be kept.
 */
int snet_request_decide(u64 id, enum snet_verdict verdict, struct list_head *tickets,
			int *ticket_err)
{
	struct request *request;
	int err = -ENOENT;

	*ticket_err = 0;
	spin_lock(&table_lock);
	request = find_locked(id);
	if (request) {
		if (!list_empty(tickets))
			*ticket_err = snet_tickets_install(tickets, &request->subject.identity);
		complete_locked(request, verdict == SNET_VERDICT_ALLOW ? SNET_OUTCOME_ALLOWED :
									 SNET_OUTCOME_DENIED);
		err = 0;
	}
	spin_unlock(&table_lock);
	return err;
}

/* Gives one request a new deadline, counted from now; -ENOENT when it isn't held any more. */
int snet_request_defer(u64 id, u32 deadline_ms)
{
	struct request *request;

	spin_lock(&table_lock);
	request = find_locked(id);
	if (request) {
		WRITE_ONCE(request->deadline, jiffies + msecs_to_jiffies(deadline_ms));
		wake_up_process(request->task);
	}
	spin_unlock(&table_lock);
	return request ? 0 : -ENOENT;
}

/*
 * Shows the undecided request with the smallest id above @after, under the lock. Returns what
 * @show returns, or -ENOENT when there is none.
 */
int snet_request_next(u64 after,
		      int (*show)(const struct snet_request_view *view, void *data), void *data)
{
	struct request *request;
	int err = -ENOENT;

	spin_lock(&table_lock);
	list_for_each_entry(request, &requests, node) {
		struct snet_request_view view;

		if (request->id <= after || request->outcome != SNET_OUTCOME_NONE)
			continue;
		view_fill(&view, request);
		err = show(&view, data);
		break;
	}
	spin_unlock(&table_lock);
	return err;
}

void snet_requests_complete_all(enum snet_outcome outcome)
{
	struct request *request;

	spin_lock(&table_lock);
	list_for_each_entry(request, &requests, node)
		complete_locked(request, outcome);
	spin_unlock(&table_lock);
}

u32 snet_requests_count(void)
{
	return READ_ONCE(request_count);
}

/* From here on nothing is held, and what is held is released. */
void snet_requests_close(void)
{
	spin_lock(&table_lock);
	closed = true;
	spin_unlock(&table_lock);
	snet_requests_complete_all(SNET_OUTCOME_DECIDER_GONE);
}

/* Every hook is detached and the table closed. */
void snet_requests_wait_empty(void)
{
	while (atomic_read(&in_flight))
		msleep(20);
}
