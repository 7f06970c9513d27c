// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tickets: what decides a call, for whom, how long, and that all memory comes back.
 * The tickets are those of the process that loads this module.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/prandom.h>

#include "../policy.h"
#include "../ticket.h"
#include "runner.h"

#define MODEL_ROUNDS	200
#define MODEL_TICKETS	24
#define MODEL_CALLS	100
#define CHURN_MS	3000

static struct snet_subject self;

static struct snet_scope any_scope(void)
{
	return (struct snet_scope) {
		.operations = BIT(SNET_OP_CONNECT),
		.protocols = BIT(SNET_PROTO_TCP),
		.remote_port_max = U16_MAX,
		.local_port_max = U16_MAX,
	};
}

static struct snet_scope scope_of_host(u8 last)
{
	struct snet_scope scope = any_scope();

	scope.remote = (struct snet_addr) { .len = 4, .bytes = { 10, 0, 0, last } };
	scope.remote_prefix = 32;
	return scope;
}

static struct snet_object call_to(u8 last)
{
	return (struct snet_object) {
		.operation = SNET_OP_CONNECT,
		.protocol = SNET_PROTO_TCP,
		.remote = { .len = 4, .port = 80, .bytes = { 10, 0, 0, last } },
		.local = { .len = 4 },
		.net = &init_net,
	};
}

static struct snet_ticket *ticket(struct list_head *batch, u64 id, enum snet_verdict verdict,
				  struct snet_scope scope)
{
	struct snet_ticket *ticket = snet_ticket_new(GFP_KERNEL);

	if (!EXPECT(ticket))
		return NULL;
	ticket->id = id;
	ticket->verdict = verdict;
	ticket->scope = scope;
	snet_scope_seal(&ticket->scope);
	list_add_tail(&ticket->of_owner, batch);
	return ticket;
}

/* Installs for @who what is in the batch; what wasn't kept is freed. */
static int install_for(struct list_head *batch, const struct snet_identity *who)
{
	int err = snet_tickets_install(batch, who);

	snet_tickets_free(batch);
	return err;
}

static int install(struct list_head *batch)
{
	return install_for(batch, &self.identity);
}

static int install_one(u64 id, enum snet_verdict verdict, struct snet_scope scope)
{
	LIST_HEAD(batch);

	ticket(&batch, id, verdict, scope);
	return install(&batch);
}

static int lookup(struct snet_object object)
{
	struct snet_ticket_hit hit;

	return snet_ticket_lookup(&object, &hit);
}

static void set_up(void)
{
	snet_subject_fill(&self, &init_net);
	snet_policy.max_tickets = 65536;
	snet_policy.max_tickets_per_process = 256;
	EXPECT_EQUAL(snet_tickets_count(), 0);
	EXPECT_EQUAL(snet_owners_count(), 0);
}

/* Whatever is left goes with a flush; nothing is left then. */
static void tear_down(void)
{
	snet_tickets_remove(SNET_TICKETS_ALL, 0);
	EXPECT_EQUAL(snet_tickets_count(), 0);
	EXPECT_EQUAL(snet_owners_count(), 0);
	EXPECT_EQUAL(lookup(call_to(1)), 0);
	snet_subject_release(&self);
}

static void ticket_decides_what_it_covers(void)
{
	struct snet_object call = call_to(2);
	struct snet_ticket_record record;
	struct snet_ticket_hit hit = {};
	struct snet_ticket *denying;
	LIST_HEAD(batch);

	set_up();
	ticket(&batch, 1, SNET_VERDICT_ALLOW, scope_of_host(1));
	denying = ticket(&batch, 2, SNET_VERDICT_DENY, scope_of_host(2));
	denying->rule_id = 7;
	EXPECT_EQUAL(lookup(call_to(1)), 0);
	EXPECT_EQUAL(install(&batch), 0);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(snet_ticket_lookup(&call, &hit), SNET_VERDICT_DENY);
	EXPECT(hit.id == 2 && hit.rule_id == 7);
	EXPECT_EQUAL(lookup(call_to(3)), 0);
	EXPECT(snet_ticket_next(0, &record));
	EXPECT(record.id == 1 && record.hits == 2 && record.tgid == task_tgid_nr(current));
	EXPECT(snet_ticket_next(1, &record));
	EXPECT(record.id == 2 && record.hits == 1 && record.rule_id == 7);
	EXPECT(!snet_ticket_next(2, &record));
	tear_down();
}

static void ticket_counts_only_for_whom_it_was_issued(void)
{
	struct snet_identity other;
	LIST_HEAD(batch);
	int i;

	set_up();
	for (i = 0; i < 7; i++) {
		other = self.identity;
		other.uid.val += i == 0;
		other.net_cookie += i == 1;
		other.cgroup_id += i == 2;
		other.exec_id += i == 3;
		other.exe_inode += i == 4;
		other.user_ns += i == 5;
		ticket(&batch, i + 1, SNET_VERDICT_ALLOW, any_scope());
		EXPECT_EQUAL(install_for(&batch, &other), 0);
		EXPECT_EQUAL(lookup(call_to(1)), i == 6 ? SNET_VERDICT_ALLOW : 0);
		snet_tickets_remove(SNET_TICKETS_ALL, 0);
	}
	tear_down();
}

static void all_of_a_batch_are_kept_or_none(void)
{
	LIST_HEAD(batch);

	set_up();
	EXPECT_EQUAL(install_one(3, SNET_VERDICT_ALLOW, any_scope()), 0);
	ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope());
	ticket(&batch, 3, SNET_VERDICT_ALLOW, any_scope());
	EXPECT_EQUAL(install(&batch), -EEXIST);
	ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope());
	ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope());
	EXPECT_EQUAL(install(&batch), -EEXIST);
	snet_policy.max_tickets_per_process = 2;
	ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope());
	ticket(&batch, 2, SNET_VERDICT_ALLOW, any_scope());
	EXPECT_EQUAL(install(&batch), -ENOSPC);
	snet_policy.max_tickets_per_process = 256;
	snet_policy.max_tickets = 1;
	EXPECT_EQUAL(install_one(1, SNET_VERDICT_ALLOW, any_scope()), -ENOSPC);
	EXPECT_EQUAL(snet_tickets_count(), 1);
	tear_down();
}

static void expired_ticket_does_not_count_and_is_freed(void)
{
	struct snet_ticket_record record;
	LIST_HEAD(batch);

	set_up();
	ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope())->expires =
		ktime_get_boottime_ns() + 300 * NSEC_PER_MSEC;
	ticket(&batch, 2, SNET_VERDICT_ALLOW, scope_of_host(9));
	EXPECT_EQUAL(install(&batch), 0);
	EXPECT(snet_ticket_next(0, &record));
	EXPECT(record.id == 2 || (record.lifetime_ms && record.lifetime_ms <= 300));
	msleep(350);
	EXPECT_EQUAL(lookup(call_to(1)), 0);
	EXPECT_EQUAL(lookup(call_to(9)), SNET_VERDICT_ALLOW);
	EXPECT(snet_ticket_next(0, &record) && record.id == 2);
	EXPECT_SOON(snet_tickets_count() == 1);
	EXPECT_EQUAL(install_one(1, SNET_VERDICT_ALLOW, any_scope()), 0);
	tear_down();
}

static void limited_ticket_decides_as_often_as_it_says(void)
{
	struct snet_ticket *limited;
	LIST_HEAD(batch);
	int i;

	set_up();
	limited = ticket(&batch, 1, SNET_VERDICT_ALLOW, scope_of_host(1));
	limited->limited = true;
	atomic_set(&limited->uses, 3);
	ticket(&batch, 2, SNET_VERDICT_DENY, any_scope());
	EXPECT_EQUAL(install(&batch), 0);
	for (i = 0; i < 3; i++)
		EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_DENY);
	EXPECT_EQUAL(snet_tickets_count(), 1);
	tear_down();
}

static void tickets_are_removed_by_what_they_have_in_common(void)
{
	LIST_HEAD(batch);
	int i;

	set_up();
	for (i = 1; i <= 100; i++)
		ticket(&batch, i, SNET_VERDICT_ALLOW, scope_of_host(i))->rule_id = i % 2 + 1;
	EXPECT_EQUAL(install(&batch), 0);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_WITH_ID, 10), 1);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_WITH_ID, 10), 0);
	EXPECT_EQUAL(lookup(call_to(10)), 0);
	EXPECT_EQUAL(lookup(call_to(12)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_OF_RULE, 1), 49);
	EXPECT_EQUAL(lookup(call_to(12)), 0);
	EXPECT_EQUAL(lookup(call_to(11)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_OF_PROCESS, 1), 0);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_OF_PROCESS, task_tgid_nr(current)), 50);
	EXPECT_EQUAL(snet_tickets_count(), 0);
	EXPECT_EQUAL(install_one(1, SNET_VERDICT_ALLOW, any_scope()), 0);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_ALL, 0), 1);
	tear_down();
}

static void end_of_the_process_frees_its_tickets(void)
{
	set_up();
	EXPECT_EQUAL(install_one(1, SNET_VERDICT_ALLOW, any_scope()), 0);
	snet_tickets_void(true);	/* of this execution they are */
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	snet_tickets_void(false);
	EXPECT_EQUAL(lookup(call_to(1)), 0);
	EXPECT_SOON(snet_tickets_count() == 0);
	EXPECT_EQUAL(install_one(1, SNET_VERDICT_ALLOW, any_scope()), 0);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	tear_down();
}

static int install_program(u64 id, enum snet_verdict verdict, struct snet_scope scope, u64 inode)
{
	LIST_HEAD(batch);
	int err;

	ticket(&batch, id, verdict, scope);
	err = snet_tickets_install_program(&batch, self.exe_device, inode);
	snet_tickets_free(&batch);
	return err;
}

static void program_tickets_count_for_who_runs_it(void)
{
	set_up();
	EXPECT_EQUAL(install_program(1, SNET_VERDICT_ALLOW, any_scope(), self.exe_inode + 1), 0);
	EXPECT_EQUAL(lookup(call_to(1)), 0);
	EXPECT_EQUAL(install_program(2, SNET_VERDICT_ALLOW, any_scope(), self.exe_inode), 0);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(install_one(3, SNET_VERDICT_DENY, scope_of_host(1)), 0);
	EXPECT_EQUAL(lookup(call_to(1)), SNET_VERDICT_DENY);
	EXPECT_EQUAL(lookup(call_to(2)), SNET_VERDICT_ALLOW);
	EXPECT_EQUAL(install_program(4, SNET_VERDICT_DENY, any_scope(), self.exe_inode), 0);
	EXPECT_EQUAL(lookup(call_to(2)), SNET_VERDICT_DENY);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_WITH_ID, 2), 1);
	EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_WITH_ID, 4), 1);
	EXPECT_EQUAL(lookup(call_to(2)), 0);
	tear_down();
}

static u32 below(struct rnd_state *chance, u32 limit)
{
	return prandom_u32_state(chance) % limit;
}

/* Of few addresses and ports, so that scopes overlap often. */
static struct snet_addr random_addr(struct rnd_state *chance)
{
	struct snet_addr addr = { .len = below(chance, 2) ? 4 : 16, .port = below(chance, 4) };

	addr.bytes[addr.len - 1] = below(chance, 4);
	addr.bytes[0] = below(chance, 2) << 7;
	return addr;
}

static void random_ports(struct rnd_state *chance, u16 *min, u16 *max)
{
	*min = below(chance, 2) ? 0 : below(chance, 4);
	*max = below(chance, 2) ? U16_MAX : *min + below(chance, 2);
}

static struct snet_scope random_scope(struct rnd_state *chance)
{
	struct snet_scope scope = any_scope();

	scope.operations = 1 + below(chance, BIT(SNET_OP_MAX + 1) - 1);
	scope.protocols = 1 + below(chance, BIT(SNET_PROTO_MAX + 1) - 1);
	if (!below(chance, 4)) {
		scope.conditions = SNET_SCOPE_NUMBER;
		scope.number = below(chance, 2);
	}
	random_ports(chance, &scope.remote_port_min, &scope.remote_port_max);
	random_ports(chance, &scope.local_port_min, &scope.local_port_max);
	if (below(chance, 3)) {
		struct snet_scope mask = any_scope();

		scope.remote = random_addr(chance);
		scope.remote.port = 0;
		scope.remote_prefix = below(chance, 2) ? 8 * scope.remote.len :
				      below(chance, 8 * scope.remote.len);
		mask.remote_prefix = scope.remote_prefix;
		snet_scope_seal(&mask);
		scope.remote.words[0] &= mask.remote_mask[0];
		scope.remote.words[1] &= mask.remote_mask[1];
	}
	return scope;
}

static struct snet_object random_call(struct rnd_state *chance)
{
	struct snet_object object = {
		.operation = below(chance, SNET_OP_MAX + 1),
		.protocol = below(chance, SNET_PROTO_MAX + 1),
		.number = below(chance, 2),
		.local = random_addr(chance),
		.net = &init_net,
	};

	if (below(chance, 8))
		object.remote = random_addr(chance);
	return object;
}

/* The tickets of one round, as a list to be searched from end to end. */
static struct {
	struct snet_scope scope;
	enum snet_verdict verdict;
	bool gone;
} model[MODEL_TICKETS];

static enum snet_verdict model_lookup(const struct snet_object *object)
{
	enum snet_verdict verdict = 0;
	u64 best = 0;
	int i;

	for (i = 0; i < MODEL_TICKETS; i++) {
		u64 rank = snet_scope_rank(&model[i].scope, model[i].verdict);

		if (model[i].gone || !snet_scope_covers(&model[i].scope, object) ||
		    (verdict && rank <= best))
			continue;
		best = rank;
		verdict = model[i].verdict;
	}
	return verdict;
}

static void model_fill(struct rnd_state *chance)
{
	int i, err;

	for (i = 0; i < MODEL_TICKETS; i++) {
		model[i].scope = random_scope(chance);
		model[i].verdict = below(chance, 2) ? SNET_VERDICT_ALLOW : SNET_VERDICT_DENY;
		model[i].gone = false;
		if (below(chance, 3))
			err = install_one(i + 1, model[i].verdict, model[i].scope);
		else
			err = install_program(i + 1, model[i].verdict, model[i].scope,
					      self.exe_inode);
		EXPECT_EQUAL(err, 0);
		snet_scope_seal(&model[i].scope);
	}
}

static void model_compare(struct rnd_state *chance, int round)
{
	int i, differ = 0;

	for (i = 0; i < MODEL_CALLS; i++) {
		struct snet_object object = random_call(chance);

		differ += lookup(object) != model_lookup(&object);
	}
	EXPECT_EQUAL(round * MODEL_CALLS + differ, round * MODEL_CALLS);
}

static void narrowest_ticket_decides_and_deny_on_a_tie(void)
{
	struct rnd_state chance;
	int round, i;

	set_up();
	prandom_seed_state(&chance, 19);
	for (round = 0; round < MODEL_ROUNDS; round++) {
		model_fill(&chance);
		model_compare(&chance, round);
		for (i = below(&chance, 3); i < MODEL_TICKETS; i += 3) {
			model[i].gone = true;
			EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_WITH_ID, i + 1), 1);
		}
		model_compare(&chance, round);
		snet_tickets_remove(SNET_TICKETS_ALL, 0);
	}
	tear_down();
}

/* Comes and goes: all of 10.0.0.0/8 is allowed but for one host, by two tickets of one rule. */
static int churn_main(void *data)
{
	int *rounds = data;

	while (!kthread_should_stop()) {
		LIST_HEAD(batch);

		ticket(&batch, 1, SNET_VERDICT_ALLOW, any_scope())->rule_id = 5;
		ticket(&batch, 2, SNET_VERDICT_DENY, scope_of_host(1))->rule_id = 5;
		EXPECT_EQUAL(install(&batch), 0);
		WRITE_ONCE(*rounds, *rounds + 1);
		if (*rounds & 1)
			usleep_range(50, 500);
		if (*rounds % 3)
			EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_OF_RULE, 5), 2);
		else
			EXPECT_EQUAL(snet_tickets_remove(SNET_TICKETS_ALL, 0), 2);
	}
	return 0;
}

static void look_ups_see_a_rule_whole_or_not_at_all(void)
{
	u64 end = ktime_get_ns() + CHURN_MS * NSEC_PER_MSEC;
	int rounds = 0, decided = 0, undecided = 0;
	struct task_struct *task;

	set_up();
	task = kthread_run(churn_main, &rounds, "snet_churn");
	if (EXPECT(!IS_ERR(task))) {
		EXPECT_SOON(READ_ONCE(rounds));
		while (ktime_get_ns() < end) {
			int verdict = lookup(call_to(1));

			if (!EXPECT(verdict != SNET_VERDICT_ALLOW))
				break;
			*(verdict ? &decided : &undecided) += 1;
			cond_resched();
		}
		kthread_stop(task);
		EXPECT(rounds > 10 && decided && undecided);
	}
	tear_down();
}

const struct snet_test snet_ticket_tests[] = {
	SNET_TEST(ticket_decides_what_it_covers),
	SNET_TEST(ticket_counts_only_for_whom_it_was_issued),
	SNET_TEST(all_of_a_batch_are_kept_or_none),
	SNET_TEST(expired_ticket_does_not_count_and_is_freed),
	SNET_TEST(limited_ticket_decides_as_often_as_it_says),
	SNET_TEST(tickets_are_removed_by_what_they_have_in_common),
	SNET_TEST(end_of_the_process_frees_its_tickets),
	SNET_TEST(program_tickets_count_for_who_runs_it),
	SNET_TEST(narrowest_ticket_decides_and_deny_on_a_tie),
	SNET_TEST(look_ups_see_a_rule_whole_or_not_at_all),
	{}
};
