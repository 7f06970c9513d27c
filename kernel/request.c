// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of requests. Owns the waiting, its bounds, and that each request is completed
 * exactly once: outcome is set under table_lock, and only when it is unset.
 *
 * Threads of one process that attempt the same thing at once wait for the same request: one
 * event, one verdict. A request lives as long as a thread waits for it; the last one takes it
 * out of the table and frees it. So whoever finds it under the lock may use it there.
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
#include <linux/wait.h>

#include "audit.h"
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
	u32 waiters;
	wait_queue_head_t wait;
	struct snet_subject subject;	/* of the thread that was first */
	struct snet_object object;
	unsigned long deadline;		/* jiffies; READ_ONCE()/WRITE_ONCE() */
	unsigned long latest;		/* jiffies; no deadline may be later, if it is_urgent() */
	enum snet_outcome outcome;	/* the same */
	bool deferred;			/* somebody is being asked; see snet_requests_orphan() */
};

static DEFINE_SPINLOCK(table_lock);
static LIST_HEAD(requests);
static DEFINE_HASHTABLE(by_id, 10);
static DEFINE_HASHTABLE(by_process, 8);
static u32 waiter_count;
static u64 last_id;
static bool closed;

/* Threads that may sleep in this module. */
static atomic_t in_flight = ATOMIC_INIT(0);

void snet_in_flight_begin(void)
{
	atomic_inc(&in_flight);
}

void snet_in_flight_end(void)
{
	atomic_dec(&in_flight);
}

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

static const enum snet_cause cause_of[SNET_OUTCOMES] = {
	[SNET_OUTCOME_DEADLINE] = SNET_CAUSE_DEADLINE,
	[SNET_OUTCOME_NO_DECIDER] = SNET_CAUSE_NO_DECIDER,
	[SNET_OUTCOME_DECIDER_GONE] = SNET_CAUSE_DECIDER_GONE,
	[SNET_OUTCOME_STALLED] = SNET_CAUSE_STALLED,
	[SNET_OUTCOME_BOUNDS] = SNET_CAUSE_BOUNDS,
	[SNET_OUTCOME_LOST] = SNET_CAUSE_LOST,
};

static struct request *request_new(const struct snet_object *object)
{
	struct request *request = kzalloc(sizeof(*request), GFP_KERNEL);

	if (!request)
		return NULL;
	init_waitqueue_head(&request->wait);
	request->object = *object;
	snet_subject_fill(&request->subject, object->net);
	return request;
}

static void request_free(struct request *request)
{
	snet_subject_release(&request->subject);
	kfree(request);
}

static void complete_locked(struct request *request, enum snet_outcome outcome)
{
	if (request->outcome != SNET_OUTCOME_NONE)
		return;
	WRITE_ONCE(request->outcome, outcome);
	wake_up_all(&request->wait);
}

static u32 held_by_locked(const struct pid *pid)
{
	const struct request *request;
	u32 count = 0;

	hash_for_each_possible(by_process, request, by_process, (unsigned long)pid)
		if (request->subject.identity.pid == pid)
			count += request->waiters;
	return count;
}

/* The undecided request for the same thing by the same process, or NULL. */
static struct request *twin_locked(const struct request *wanted)
{
	struct pid *pid = wanted->subject.identity.pid;
	struct request *request;

	hash_for_each_possible(by_process, request, by_process, (unsigned long)pid)
		if (request->outcome == SNET_OUTCOME_NONE &&
		    snet_identity_equal(&request->subject.identity, &wanted->subject.identity) &&
		    snet_object_equal(&request->object, &wanted->object))
			return request;
	return NULL;
}

/* Somebody else waits as well: an event loop, a ring's worker, whoever wants the socket's lock. */
static bool is_urgent(const struct snet_object *object)
{
	return object->flags & (SNET_CALL_NONBLOCK | SNET_CALL_IO_URING | SNET_CALL_LOCKED);
}

static u32 deadline_ms_for(const struct snet_object *object)
{
	if (is_urgent(object))
		return READ_ONCE(snet_policy.nonblock_deadline_ms);
	return READ_ONCE(snet_policy.deadline_ms);
}

static void add_locked(struct request *request)
{
	struct pid *pid = request->subject.identity.pid;

	request->id = ++last_id;
	request->latest = jiffies + msecs_to_jiffies(deadline_ms_for(&request->object));
	request->deadline = request->latest;
	list_add_tail(&request->node, &requests);
	hash_add(by_id, &request->by_id, request->id);
	hash_add(by_process, &request->by_process, (unsigned long)pid);
}

/*
 * The request that the calling thread waits for from now on: @wanted, or one like it that
 * waits already. NULL when it may not wait; then @outcome says why.
 */
static struct request *enter(struct request *wanted, enum snet_outcome *outcome)
{
	struct request *request = NULL;

	spin_lock(&table_lock);
	/* Under the lock: whoever drops the decider completes the table after it. */
	if (closed || !snet_decider_portid()) {
		*outcome = SNET_OUTCOME_NO_DECIDER;
	} else if (waiter_count >= READ_ONCE(snet_policy.max_requests) ||
		   held_by_locked(wanted->subject.identity.pid) >=
		   READ_ONCE(snet_policy.max_requests_per_process)) {
		*outcome = SNET_OUTCOME_BOUNDS;
	} else {
		request = twin_locked(wanted);
		if (!request) {
			request = wanted;
			add_locked(request);
		}
		request->waiters++;
		waiter_count++;
	}
	spin_unlock(&table_lock);
	return request;
}

/*
 * Ends the calling thread's wait. When the request is undecided, @otherwise decides it for all
 * who wait, unless only this thread ends. Returns how it ended for this one.
 */
static enum snet_outcome leave(struct request *request, enum snet_outcome otherwise)
{
	enum snet_outcome outcome;
	bool last;

	spin_lock(&table_lock);
	outcome = request->outcome;
	if (outcome == SNET_OUTCOME_NONE) {
		outcome = fatal_signal_pending(current) ? SNET_OUTCOME_KILLED : otherwise;
		if (outcome != SNET_OUTCOME_KILLED)
			complete_locked(request, outcome);
		if (outcome == SNET_OUTCOME_DEADLINE)
			snet_decider_missed();
	}
	waiter_count--;
	last = !--request->waiters;
	if (last) {
		list_del(&request->node);
		hash_del(&request->by_id);
		hash_del(&request->by_process);
	}
	spin_unlock(&table_lock);
	if (last)
		request_free(request);
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

/*
 * Killable, and freezable so that a held thread doesn't keep the machine from suspending. It
 * may hold locks of its caller: io_uring's of the ring, SCTP's of the socket. Lockdep calls
 * that unsafe; but who wants them waits for the verdict in any case.
 */
static void wait_for_outcome(struct request *request)
{
	DEFINE_WAIT(wait);

	for (;;) {
		long left;

		prepare_to_wait(&request->wait, &wait, TASK_KILLABLE | TASK_FREEZABLE_UNSAFE);
		left = READ_ONCE(request->deadline) - jiffies;
		if (READ_ONCE(request->outcome) != SNET_OUTCOME_NONE ||
		    fatal_signal_pending(current) || left <= 0)
			break;
		schedule_timeout(left);
	}
	finish_wait(&request->wait, &wait);
}

static enum snet_outcome ask(const struct snet_object *object)
{
	enum snet_outcome outcome = SNET_OUTCOME_LOST;
	struct request *wanted = request_new(object);
	struct request *request;

	if (!wanted)
		return outcome;
	request = enter(wanted, &outcome);
	if (request != wanted)
		request_free(wanted);
	if (!request)
		return outcome;
	if (request == wanted && !tell_decider(request))
		return leave(request, SNET_OUTCOME_LOST);
	wait_for_outcome(request);
	return leave(request, SNET_OUTCOME_DEADLINE);
}

static int fallback(const struct snet_object *object, enum snet_cause cause)
{
	enum snet_verdict verdict = snet_fallback(object->operation);

	snet_audit(object, cause, verdict, NULL);
	return verdict == SNET_VERDICT_ALLOW ? 0 : -EACCES;
}

static int result_of(enum snet_outcome outcome, const struct snet_object *object)
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
		return fallback(object, cause_of[outcome]);
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

	snet_in_flight_begin();
	if (!snet_decider_portid())
		outcome = SNET_OUTCOME_NO_DECIDER;
	else if (snet_decider_stalled())
		outcome = SNET_OUTCOME_STALLED;
	else
		outcome = ask(object);
	snet_in_flight_end();
	return result_of(outcome, object);
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

static int defer_locked(struct request *request, unsigned long deadline)
{
	if (is_urgent(&request->object) && time_after(deadline, request->latest))
		return -EINVAL;
	request->deferred = true;
	WRITE_ONCE(request->deadline, deadline);
	wake_up_all(&request->wait);
	return 0;
}

/*
 * Gives one request a new deadline, counted from now. Returns 0; -ENOENT when it isn't held any
 * more, -EINVAL when it may not be held that long.
 */
int snet_request_defer(u64 id, u32 deadline_ms)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(deadline_ms);
	struct request *request;
	int err = -ENOENT;

	spin_lock(&table_lock);
	request = find_locked(id);
	if (request)
		err = defer_locked(request, deadline);
	spin_unlock(&table_lock);
	return err;
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

static void orphan_locked(struct request *request, unsigned long deadline)
{
	if (!request->deferred) {
		complete_locked(request, SNET_OUTCOME_DECIDER_GONE);
	} else if (time_after(request->deadline, deadline)) {
		WRITE_ONCE(request->deadline, deadline);
		wake_up_all(&request->wait);
	}
}

/*
 * The decider is gone: what is held gets the fallback. What was deferred stays for one more
 * deadline, so that the next decider finds it in the dump and goes on asking.
 */
void snet_requests_orphan(void)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(READ_ONCE(snet_policy.deadline_ms));
	struct request *request;

	spin_lock(&table_lock);
	list_for_each_entry(request, &requests, node)
		orphan_locked(request, deadline);
	spin_unlock(&table_lock);
}

u32 snet_requests_count(void)
{
	return READ_ONCE(waiter_count);
}

/* From here on nothing is held, and what is held is released. */
void snet_requests_close(void)
{
	struct request *request;

	spin_lock(&table_lock);
	closed = true;
	list_for_each_entry(request, &requests, node)
		complete_locked(request, SNET_OUTCOME_DECIDER_GONE);
	spin_unlock(&table_lock);
}

/* Every hook is detached and the table closed. */
void snet_requests_wait_empty(void)
{
	while (atomic_read(&in_flight))
		msleep(20);
}
