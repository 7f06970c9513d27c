// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests: who waits with whom, what ends a wait, and that one thing does.
 */
#include "request_stage.h"

#define RACES 300

static void verdict_ends_the_wait_once(void)
{
	static const enum snet_verdict verdicts[] = { SNET_VERDICT_ALLOW, SNET_VERDICT_DENY };
	int i;

	set_up();
	for (i = 0; i < ARRAY_SIZE(verdicts); i++) {
		struct caller *caller = call_held(0, 80, 0);
		u64 id = newest();

		EXPECT(!answered(caller));
		EXPECT_EQUAL(decide(id, verdicts[i]), 0);
		EXPECT_EQUAL(decide(id, SNET_VERDICT_ALLOW), -ENOENT);
		EXPECT_EQUAL(snet_request_defer(id, 1), -ENOENT);
		EXPECT_EQUAL(result_of_call(caller), i ? -EACCES : 0);
	}
	EXPECT_EQUAL(atomic_read(&fake.audited), 0);
	tear_down();
}

static void same_calls_of_a_process_share_one_request(void)
{
	struct caller *twins[3], *other;
	int i;

	set_up();
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		twins[i] = call_held(0, 80, i);
	EXPECT_SOON(atomic_read(&fake.events) == 1);
	other = call_held(1, 80, 3);
	call_held(0, 81, 4);
	EXPECT_SOON(atomic_read(&fake.events) == 3);
	EXPECT_EQUAL(decide(newest() - 2, SNET_VERDICT_ALLOW), 0);
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		EXPECT_EQUAL(result_of_call(twins[i]), 0);
	EXPECT_EQUAL(snet_requests_count(), 2);
	EXPECT_EQUAL(decide(newest() - 1, SNET_VERDICT_ALLOW), 0);
	EXPECT_EQUAL(result_of_call(other), 0);
	tear_down();
}

static void who_comes_after_the_verdict_is_a_new_request(void)
{
	struct caller *late;
	u64 id;

	set_up();
	call_held(0, 80, 0);
	id = newest();
	EXPECT_EQUAL(decide(id, SNET_VERDICT_ALLOW), 0);
	late = call(0, 80);
	EXPECT_SOON(newest() == id + 1);
	EXPECT_EQUAL(decide(id + 1, SNET_VERDICT_DENY), 0);
	EXPECT_EQUAL(result_of_call(late), -EACCES);
	tear_down();
}

static void past_a_bound_the_fallback_applies_at_once(void)
{
	u64 before = snet_counter_sum(SNET_COUNT_FALLBACK_BOUNDS);

	set_up();
	snet_policy.max_requests_per_process = 2;
	snet_policy.max_requests = 3;
	call_held(0, 80, 0);
	call_held(0, 80, 1);
	EXPECT_EQUAL(result_of_call(call(0, 80)), -EACCES);
	EXPECT_EQUAL(result_of_call(call(0, 81)), -EACCES);
	call_held(1, 80, 2);
	snet_policy.fallback[SNET_OP_CONNECT] = SNET_VERDICT_ALLOW;
	EXPECT_EQUAL(result_of_call(call(2, 80)), 0);
	EXPECT_EQUAL(snet_counter_sum(SNET_COUNT_FALLBACK_BOUNDS) - before, 3);
	EXPECT_EQUAL(atomic_read(&fake.audited), 3);
	EXPECT_EQUAL(fake.cause, SNET_CAUSE_BOUNDS);
	EXPECT_EQUAL(snet_requests_count(), 3);
	tear_down();
}

static void deadline_is_missed_once_by_all_who_share_it(void)
{
	struct caller *twins[3];
	ktime_t begin = ktime_get();
	int i;

	set_up();
	snet_policy.deadline_ms = 1000;
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		twins[i] = call(0, 80);
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		EXPECT_EQUAL(result_of_call(twins[i]), -EACCES);
	EXPECT(ktime_ms_delta(ktime_get(), begin) >= 900);
	EXPECT_EQUAL(atomic_read(&fake.misses), atomic_read(&fake.events));
	tear_down();
}

static void defer_prolongs_and_shortens_one_request(void)
{
	struct caller *first, *second;

	set_up();
	snet_policy.deadline_ms = 1000;
	first = call_held(0, 80, 0);
	EXPECT_EQUAL(snet_request_defer(newest(), FOREVER_MS), 0);
	snet_policy.deadline_ms = FOREVER_MS;
	second = call_held(1, 80, 1);
	msleep(1500);
	EXPECT(!answered(first));
	EXPECT_EQUAL(snet_request_defer(newest(), 1), 0);
	EXPECT_EQUAL(result_of_call(second), -EACCES);
	EXPECT(!answered(first));
	tear_down();
}

static void who_blocks_others_has_a_deadline_that_defer_does_not_prolong(void)
{
	static const u32 urgent[] = { SNET_CALL_NONBLOCK, SNET_CALL_IO_URING, SNET_CALL_LOCKED };
	struct caller *caller;
	int i;

	set_up();
	snet_policy.nonblock_deadline_ms = FOREVER_MS / 2;
	for (i = 0; i < ARRAY_SIZE(urgent); i++) {
		flags_of_calls = urgent[i];
		caller = call_held(0, 80, 0);
		EXPECT_EQUAL(snet_request_defer(newest(), FOREVER_MS), -EINVAL);
		EXPECT(!answered(caller));
		EXPECT_EQUAL(snet_request_defer(newest(), 1), 0);
		EXPECT_EQUAL(result_of_call(caller), -EACCES);
	}
	tear_down();
}

static void nothing_is_held_without_a_decider(void)
{
	set_up();
	fake.portid = 0;
	EXPECT_EQUAL(result_of_call(call(0, 80)), -EACCES);
	fake.portid = 1;
	fake.stalled = true;
	EXPECT_EQUAL(result_of_call(call(0, 80)), -EACCES);
	fake.stalled = false;
	snet_requests_close();
	EXPECT_EQUAL(result_of_call(call(0, 80)), -EACCES);
	EXPECT_EQUAL(atomic_read(&fake.events), 0);
	tear_down();
}

static void full_socket_keeps_the_request_and_a_dead_one_ends_it(void)
{
	struct caller *caller;

	set_up();
	fake.send_err = -ECONNREFUSED;
	EXPECT_EQUAL(result_of_call(call(0, 80)), -EACCES);
	fake.send_err = -EAGAIN;
	caller = call_held(0, 80, 0);
	EXPECT_EQUAL(decide(newest(), SNET_VERDICT_ALLOW), 0);
	EXPECT_EQUAL(result_of_call(caller), 0);
	tear_down();
}

static void end_of_the_decider_releases_all(void)
{
	u64 before = snet_counter_sum(SNET_COUNT_FALLBACK_DECIDER_GONE);
	struct caller *held[4];
	int i;

	set_up();
	for (i = 0; i < ARRAY_SIZE(held); i++)
		held[i] = call_held(i / 2, 80 + i, i);
	snet_requests_orphan();
	for (i = 0; i < ARRAY_SIZE(held); i++)
		EXPECT_EQUAL(result_of_call(held[i]), -EACCES);
	EXPECT_EQUAL(snet_counter_sum(SNET_COUNT_FALLBACK_DECIDER_GONE) - before, 4);
	tear_down();
}

static void what_was_deferred_outlives_its_decider(void)
{
	struct caller *asked, *other;
	u64 id;

	set_up();
	asked = call_held(0, 80, 0);
	id = newest();
	EXPECT_EQUAL(snet_request_defer(id, 600000), 0);
	other = call_held(1, 81, 1);
	snet_requests_orphan();
	EXPECT_EQUAL(result_of_call(other), -EACCES);
	EXPECT_EQUAL(decide(id, SNET_VERDICT_ALLOW), 0);
	EXPECT_EQUAL(result_of_call(asked), 0);
	tear_down();
}

static int note_id(const struct snet_request_view *view, void *data)
{
	*(u64 *)data = view->id;
	EXPECT(view->deadline_ms > 0 && view->deadline_ms <= FOREVER_MS);
	return 0;
}

static void dump_shows_each_undecided_request_once(void)
{
	u64 first, shown = 0;
	int i;

	set_up();
	for (i = 0; i < 3; i++)
		call_held(i, 80, i);
	first = newest() - 2;
	call_held(0, 80, 3);
	EXPECT_EQUAL(decide(first + 1, SNET_VERDICT_ALLOW), 0);
	EXPECT_EQUAL(snet_request_next(0, note_id, &shown), 0);
	EXPECT_EQUAL(shown, first);
	EXPECT_EQUAL(snet_request_next(shown, note_id, &shown), 0);
	EXPECT_EQUAL(shown, first + 2);
	EXPECT_EQUAL(snet_request_next(shown, note_id, &shown), -ENOENT);
	tear_down();
}

static void verdict_counts_also_when_its_tickets_are_refused(void)
{
	struct caller *caller;
	int ticket_err;
	int i;

	set_up();
	for (i = 0; i < 2; i++) {
		struct list_head ticket;
		LIST_HEAD(tickets);

		list_add(&ticket, &tickets);
		fake.ticket_err = i ? -ENOSPC : 0;
		caller = call_held(i, 80, 0);
		EXPECT_EQUAL(snet_request_decide(newest(), SNET_VERDICT_ALLOW, &tickets,
						 &ticket_err), 0);
		EXPECT_EQUAL(ticket_err, fake.ticket_err);
		EXPECT_EQUAL(list_empty(&tickets), !i);
		EXPECT(fake.ticketed == caller->process);
		EXPECT_EQUAL(result_of_call(caller), 0);
	}
	tear_down();
}

/* What ends a wait, each in a thread of its own. */
enum racer { RACE_ALLOW, RACE_DENY, RACE_DEADLINE, RACE_GONE, RACERS };

static struct {
	u64 id;
	bool go;
	atomic_t done;
	struct task_struct *task[RACERS];
	int result[RACERS];
} race;

static int race_main(void *data)
{
	long kind = (long)data;

	while (!READ_ONCE(race.go))
		cond_resched();
	if (kind == RACE_ALLOW)
		race.result[kind] = decide(race.id, SNET_VERDICT_ALLOW);
	else if (kind == RACE_DENY)
		race.result[kind] = decide(race.id, SNET_VERDICT_DENY);
	else if (kind == RACE_DEADLINE)
		snet_request_defer(race.id, 0);
	else
		snet_requests_orphan();
	atomic_inc(&race.done);
	return 0;
}

static u64 outcomes_counted(void)
{
	u64 sum = 0;
	int outcome;

	for (outcome = SNET_OUTCOME_NONE + 1; outcome < SNET_OUTCOMES; outcome++)
		sum += snet_counter_sum(counter_of[outcome]);
	return sum;
}

/* Lets them loose in another order in each round; returns when all are through. */
static void race_run(int round)
{
	int started = 0;
	long i;

	race.id = newest();
	race.go = false;
	atomic_set(&race.done, 0);
	for (i = 0; i < RACERS; i++) {
		long kind = (i + round) % RACERS;
		struct task_struct *task = kthread_create(race_main, (void *)kind, "snet_racer");

		race.result[kind] = -ENOENT;
		race.task[kind] = IS_ERR(task) ? NULL : get_task_struct(task);
		if (EXPECT(!IS_ERR(task))) {
			wake_up_process(task);
			started++;
		}
	}
	WRITE_ONCE(race.go, true);
	EXPECT_SOON(atomic_read(&race.done) == started);
	for (i = 0; i < RACERS; i++) {
		if (!race.task[i])
			continue;
		kthread_stop(race.task[i]);
		put_task_struct(race.task[i]);
	}
}

static void race_once(int round)
{
	bool fallback_allows = round & 1;
	struct caller *twins[3];
	u64 before;
	int i, expected;

	set_up();
	snet_policy.fallback[SNET_OP_CONNECT] = fallback_allows ? SNET_VERDICT_ALLOW :
								  SNET_VERDICT_DENY;
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		twins[i] = call_held(0, 80, i);
	before = outcomes_counted();
	race_run(round);
	expected = fallback_allows ? 0 : -EACCES;
	EXPECT(race.result[RACE_ALLOW] || race.result[RACE_DENY]);
	if (!race.result[RACE_ALLOW])
		expected = 0;
	else if (!race.result[RACE_DENY])
		expected = -EACCES;
	for (i = 0; i < ARRAY_SIZE(twins); i++)
		EXPECT_EQUAL(result_of_call(twins[i]), expected);
	EXPECT_EQUAL(outcomes_counted() - before, ARRAY_SIZE(twins));
	tear_down();
}

static void completes_exactly_once_whoever_races(void)
{
	int round;

	for (round = 0; round < RACES; round++)
		race_once(round);
}

const struct snet_test snet_request_tests[] = {
	SNET_TEST(verdict_ends_the_wait_once),
	SNET_TEST(same_calls_of_a_process_share_one_request),
	SNET_TEST(who_comes_after_the_verdict_is_a_new_request),
	SNET_TEST(past_a_bound_the_fallback_applies_at_once),
	SNET_TEST(deadline_is_missed_once_by_all_who_share_it),
	SNET_TEST(defer_prolongs_and_shortens_one_request),
	SNET_TEST(who_blocks_others_has_a_deadline_that_defer_does_not_prolong),
	SNET_TEST(nothing_is_held_without_a_decider),
	SNET_TEST(full_socket_keeps_the_request_and_a_dead_one_ends_it),
	SNET_TEST(end_of_the_decider_releases_all),
	SNET_TEST(what_was_deferred_outlives_its_decider),
	SNET_TEST(dump_shows_each_undecided_request_once),
	SNET_TEST(verdict_counts_also_when_its_tickets_are_refused),
	SNET_TEST(completes_exactly_once_whoever_races),
	{}
};
