// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which calls a scope covers, and which of two scopes is narrower.
 */
#include <linux/prandom.h>

#include "../scope.h"
#include "runner.h"

#define ROUNDS 20000

static const struct snet_scope everything = {
	.operations = BIT(SNET_OP_MAX + 1) - 1,
	.protocols = BIT(SNET_PROTO_MAX + 1) - 1,
	.remote_port_max = U16_MAX,
	.local_port_max = U16_MAX,
};

static bool covers(struct snet_scope scope, const struct snet_object *object)
{
	snet_scope_seal(&scope);
	return snet_scope_covers(&scope, object);
}

static struct snet_addr v4(u8 a, u8 b, u8 c, u8 d, u16 port)
{
	return (struct snet_addr) { .len = 4, .port = port, .bytes = { a, b, c, d } };
}

static struct snet_addr v6(u8 first, u8 last, u16 port)
{
	return (struct snet_addr) { .len = 16, .port = port, .bytes = { first, [15] = last } };
}

static struct snet_object connect_to(struct snet_addr remote)
{
	return (struct snet_object) {
		.operation = SNET_OP_CONNECT,
		.protocol = SNET_PROTO_TCP,
		.number = IPPROTO_TCP,
		.remote = remote,
		.local = { .len = 4 },
	};
}

static void covers_the_named_operations_and_protocols_only(void)
{
	struct snet_object object = connect_to(v4(10, 0, 0, 1, 80));
	struct snet_scope scope = everything;

	EXPECT(covers(scope, &object));
	scope.operations = BIT(SNET_OP_CONNECT);
	EXPECT(covers(scope, &object));
	scope.operations = everything.operations & ~BIT(SNET_OP_CONNECT);
	EXPECT(!covers(scope, &object));
	scope = everything;
	scope.protocols &= ~BIT(SNET_PROTO_TCP);
	EXPECT(!covers(scope, &object));
}

static void covers_one_protocol_number_where_it_has_one(void)
{
	struct snet_object object = connect_to(v4(10, 0, 0, 1, 80));
	struct snet_scope scope = everything;

	scope.conditions = SNET_SCOPE_NUMBER;
	scope.number = IPPROTO_TCP;
	EXPECT(covers(scope, &object));
	scope.number = 0;
	EXPECT(!covers(scope, &object));
}

#define V4(...) { .len = 4, .port = 80, .bytes = { __VA_ARGS__ } }
#define V6(first, last) { .len = 16, .port = 80, .bytes = { first, [15] = last } }

static void prefix_of_one_family_ends_at_any_bit(void)
{
	static const struct {
		struct snet_addr net;
		u8 prefix;
		struct snet_addr remote;
		bool covered;
	} cases[] = {
		{ V4(10, 77, 0, 0), 16, V4(10, 77, 255, 9), true },
		{ V4(10, 77, 0, 0), 16, V4(10, 76, 0, 0), false },
		{ V4(10, 77, 0, 2), 31, V4(10, 77, 0, 3), true },
		{ V4(10, 77, 0, 2), 31, V4(10, 77, 0, 4), false },
		{ V4(10, 77, 0, 2), 32, V4(10, 77, 0, 2), true },
		{ V4(10, 77, 0, 2), 32, V4(10, 77, 0, 3), false },
		{ V4(128, 0, 0, 0), 1, V4(255, 0, 0, 1), true },
		{ V4(128, 0, 0, 0), 1, V4(127, 0, 0, 1), false },
		{ V6(0xfd, 2), 127, V6(0xfd, 3), true },
		{ V6(0xfd, 2), 128, V6(0xfd, 3), false },
		{ V4(0, 0, 0, 0), 0, V4(10, 0, 0, 1), true },
		{ V4(0, 0, 0, 0), 0, V6(0xfd, 1), false },
		{ V6(0, 0), 0, V4(10, 0, 0, 1), false },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct snet_object object = connect_to(cases[i].remote);
		struct snet_scope scope = everything;

		scope.remote = cases[i].net;
		scope.remote_prefix = cases[i].prefix;
		EXPECT_EQUAL(i * 2 + covers(scope, &object),
			     i * 2 + cases[i].covered);
	}
}

static void port_ranges_include_both_ends(void)
{
	static const u16 ports[] = { 1023, 1024, 2000, 2001 };
	int i;

	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		struct snet_object object = connect_to(v4(10, 0, 0, 1, ports[i]));
		struct snet_scope scope = everything;
		bool inside = i == 1 || i == 2;

		scope.remote_port_min = 1024;
		scope.remote_port_max = 2000;
		EXPECT_EQUAL(covers(scope, &object), inside);
		scope = everything;
		scope.local_port_min = 1024;
		scope.local_port_max = 2000;
		object.local.port = ports[i];
		EXPECT_EQUAL(covers(scope, &object), inside);
	}
}

static void call_without_an_address_needs_a_scope_without_one(void)
{
	struct snet_object object = connect_to((struct snet_addr) {});
	struct snet_scope scope = everything;

	EXPECT(covers(scope, &object));
	scope.remote = v4(0, 0, 0, 0, 0);
	EXPECT(!covers(scope, &object));
	scope = everything;
	scope.remote_port_min = 1;
	EXPECT(!covers(scope, &object));
	scope = everything;
	scope.remote_port_max = U16_MAX - 1;
	EXPECT(!covers(scope, &object));
}

static void rank_compares_the_address_first_and_deny_wins_a_tie(void)
{
	struct snet_scope host = everything, net = everything, ported = everything;

	host.remote = net.remote = v4(10, 0, 0, 0, 0);
	host.remote_prefix = 32;
	net.remote_prefix = 8;
	net.remote_port_min = net.remote_port_max = 80;
	ported.remote_port_min = ported.remote_port_max = 80;
	EXPECT(snet_scope_rank(&host, SNET_VERDICT_ALLOW) >
	       snet_scope_rank(&net, SNET_VERDICT_DENY));
	EXPECT(snet_scope_rank(&net, SNET_VERDICT_ALLOW) >
	       snet_scope_rank(&ported, SNET_VERDICT_DENY));
	EXPECT(snet_scope_rank(&ported, SNET_VERDICT_ALLOW) >
	       snet_scope_rank(&everything, SNET_VERDICT_DENY));
	EXPECT(snet_scope_rank(&host, SNET_VERDICT_DENY) >
	       snet_scope_rank(&host, SNET_VERDICT_ALLOW));
	host.remote = v6(0xfd, 0, 0);
	net.remote = v4(10, 0, 0, 0, 0);
	host.remote_prefix = 128;
	net.remote_prefix = 32;
	net.remote_port_min = 0;
	net.remote_port_max = U16_MAX;
	EXPECT_EQUAL(snet_scope_rank(&host, SNET_VERDICT_ALLOW),
		     snet_scope_rank(&net, SNET_VERDICT_ALLOW));
}

static u32 below(struct rnd_state *chance, u32 limit)
{
	return prandom_u32_state(chance) % limit;
}

static void range_narrow(struct rnd_state *chance, u16 *min, u16 *max)
{
	*min += below(chance, *max - *min + 1);
	*max -= below(chance, *max - *min + 1);
}

/* Makes @scope a part of what it was, in the dimensions that chance picks. */
static void scope_narrow(struct rnd_state *chance, struct snet_scope *scope)
{
	u32 operation = BIT(below(chance, SNET_OP_MAX + 1));
	u32 protocol = BIT(below(chance, SNET_PROTO_MAX + 1));

	if (scope->operations != operation && below(chance, 2))
		scope->operations &= ~operation;
	if (scope->protocols != protocol && below(chance, 2))
		scope->protocols &= ~protocol;
	if (!(scope->conditions & SNET_SCOPE_NUMBER) && !below(chance, 4)) {
		scope->conditions |= SNET_SCOPE_NUMBER;
		scope->number = below(chance, 3);
	}
	if (below(chance, 2))
		range_narrow(chance, &scope->remote_port_min, &scope->remote_port_max);
	if (below(chance, 2))
		range_narrow(chance, &scope->local_port_min, &scope->local_port_max);
	if (!scope->remote.len && below(chance, 2)) {
		scope->remote = below(chance, 2) ? v4(0, 0, 0, 0, 0) : v6(0, 0, 0);
		scope->remote_prefix = 0;
	} else if (scope->remote.len && scope->remote_prefix < 8 * scope->remote.len) {
		scope->remote_prefix++;
	}
}

static bool scope_same(const struct snet_scope *a, const struct snet_scope *b)
{
	return a->operations == b->operations && a->protocols == b->protocols &&
	       a->conditions == b->conditions && a->remote.len == b->remote.len &&
	       a->remote_prefix == b->remote_prefix &&
	       a->remote_port_min == b->remote_port_min &&
	       a->remote_port_max == b->remote_port_max &&
	       a->local_port_min == b->local_port_min && a->local_port_max == b->local_port_max;
}

static struct snet_object random_call(struct rnd_state *chance)
{
	struct snet_object object = {
		.operation = below(chance, SNET_OP_MAX + 1),
		.protocol = below(chance, SNET_PROTO_MAX + 1),
		.number = below(chance, 3),
		.local = { .len = 4, .port = below(chance, U16_MAX + 1) },
	};
	u16 port = below(chance, U16_MAX + 1);

	if (below(chance, 8))
		object.remote = below(chance, 2) ? v4(0, 0, 0, below(chance, 4), port) :
						   v6(0, below(chance, 4), port);
	return object;
}

static void part_of_a_scope_covers_less_and_ranks_higher(void)
{
	struct snet_scope wide, narrow;
	struct rnd_state chance;
	int i, covered = 0;

	prandom_seed_state(&chance, 9);
	for (i = 0; i < ROUNDS; i++) {
		struct snet_object object = random_call(&chance);

		if (!(i % 20))
			narrow = everything;
		wide = narrow;
		scope_narrow(&chance, &narrow);
		snet_scope_seal(&narrow);
		EXPECT(snet_scope_rank(&narrow, SNET_VERDICT_DENY) <=
		       snet_scope_rank_bound(&narrow));
		if (scope_same(&wide, &narrow))
			continue;
		if (snet_scope_covers(&narrow, &object)) {
			covered++;
			EXPECT(snet_scope_covers(&wide, &object));
		}
		if (!EXPECT(snet_scope_rank(&narrow, SNET_VERDICT_ALLOW) >
			    snet_scope_rank(&wide, SNET_VERDICT_DENY)))
			break;
	}
	EXPECT(covered > ROUNDS / 100);
}

const struct snet_test snet_scope_tests[] = {
	SNET_TEST(covers_the_named_operations_and_protocols_only),
	SNET_TEST(covers_one_protocol_number_where_it_has_one),
	SNET_TEST(prefix_of_one_family_ends_at_any_bit),
	SNET_TEST(port_ranges_include_both_ends),
	SNET_TEST(call_without_an_address_needs_a_scope_without_one),
	SNET_TEST(rank_compares_the_address_first_and_deny_wins_a_tie),
	SNET_TEST(part_of_a_scope_covers_less_and_ranks_higher),
	{}
};
