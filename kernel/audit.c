// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages about calls that no decider decided. Owns their rate and the account of those that
 * were dropped. Decides nothing, and takes no lock: where nobody listens, it reads one flag.
 */
#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <net/genetlink.h>

#include "audit.h"
#include "message.h"
#include "netlink.h"
#include "request.h"
#include "stats.h"
#include "subject.h"

static unsigned int audit_rate = 100;
module_param(audit_rate, uint, 0644);
MODULE_PARM_DESC(audit_rate,
		 "audit messages per second at most; 0 for none, which are not counted as dropped");

/* Is the family registered? Read under RCU by whoever sends, so that closing can wait. */
static bool is_open;

/* The second in its upper half, the messages let through in that second in its lower. */
static atomic64_t window;

/* How many of the dropped messages a message has told. */
static atomic64_t told;

static bool is_wanted(void)
{
	return READ_ONCE(is_open) && READ_ONCE(audit_rate) &&
	       genl_has_listeners(&snet_family, &init_net, SNET_NL_GROUP_AUDIT);
}

/* Past the rate this only reads. */
static bool is_within_rate(void)
{
	u32 second = ktime_get_seconds(), count;
	s64 old = atomic64_read(&window);

	do {
		count = old >> 32 == second ? (u32)old : 0;
		if (count >= READ_ONCE(audit_rate))
			return false;
	} while (!atomic64_try_cmpxchg(&window, &old, (s64)second << 32 | (count + 1)));
	return true;
}

static u64 take_dropped(void)
{
	s64 total = snet_counter_sum(SNET_COUNT_AUDIT_DROPPED);
	s64 before = atomic64_read(&told);

	do {
		if (total <= before)
			return 0;
	} while (!atomic64_try_cmpxchg(&told, &before, total));
	return total - before;
}

static int put_audit(struct sk_buff *skb, const struct snet_object *object,
		     enum snet_cause cause, enum snet_verdict verdict,
		     const struct snet_ticket_hit *hit)
{
	const int pad = SNET_A_MAIN_PAD;
	struct snet_subject subject;
	int err;

	snet_subject_fill(&subject, object->net);
	err = snet_message_put_call(skb, &subject, object);
	snet_subject_release(&subject);
	if (err || nla_put_u32(skb, SNET_A_MAIN_VERDICT, verdict) ||
	    nla_put_u32(skb, SNET_A_MAIN_CAUSE, cause) ||
	    nla_put_u64_64bit(skb, SNET_A_MAIN_TIME,
			      div_u64(ktime_get_real_ns(), NSEC_PER_MSEC), pad))
		return -EMSGSIZE;
	if (!hit)
		return 0;
	if (nla_put_u64_64bit(skb, SNET_A_MAIN_TICKET_ID, hit->id, pad) ||
	    (hit->rule_id && nla_put_u64_64bit(skb, SNET_A_MAIN_RULE_ID, hit->rule_id, pad)))
		return -EMSGSIZE;
	return 0;
}

static struct sk_buff *message_new(const struct snet_object *object, enum snet_cause cause,
				   enum snet_verdict verdict, const struct snet_ticket_hit *hit,
				   u64 dropped)
{
	struct sk_buff *skb = genlmsg_new(SNET_MESSAGE_CALL_SIZE + PATH_MAX, GFP_KERNEL);
	void *header;

	if (!skb)
		return NULL;
	header = genlmsg_put(skb, 0, 0, &snet_family, 0, SNET_CMD_AUDIT);
	if (!header || put_audit(skb, object, cause, verdict, hit) ||
	    (dropped && nla_put_u64_64bit(skb, SNET_A_MAIN_DROPPED, dropped, SNET_A_MAIN_PAD))) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}

/* -ESRCH, that nobody got it, is no failure: whoever listened may have left. */
static bool send(struct sk_buff *skb)
{
	int err = 0;

	rcu_read_lock();
	if (READ_ONCE(is_open))
		err = genlmsg_multicast(&snet_family, skb, 0, SNET_NL_GROUP_AUDIT, GFP_ATOMIC);
	else
		nlmsg_free(skb);
	rcu_read_unlock();
	return !err || err == -ESRCH;
}

/**
 * snet_audit - tell that a call was decided without a decider
 * @object: the call, of the calling thread
 * @cause: why
 * @verdict: how
 * @hit: the ticket, with cause SNET_CAUSE_TICKET; otherwise NULL
 *
 * For hooks, which may sleep; doesn't sleep where nobody listens or the rate is exceeded. A
 * message that a listener has no room for counts as dropped when that listener has set
 * NETLINK_BROADCAST_ERROR.
 */
void snet_audit(const struct snet_object *object, enum snet_cause cause,
		enum snet_verdict verdict, const struct snet_ticket_hit *hit)
{
	struct sk_buff *skb;
	u64 dropped;

	if (!is_wanted())
		return;
	if (!is_within_rate()) {
		snet_count(SNET_COUNT_AUDIT_DROPPED);
		return;
	}
	snet_in_flight_begin();
	dropped = take_dropped();
	skb = message_new(object, cause, verdict, hit, dropped);
	if (!skb || !send(skb)) {
		atomic64_sub(dropped, &told);
		snet_count(SNET_COUNT_AUDIT_DROPPED);
	}
	snet_in_flight_end();
}

/* The family is registered. */
void snet_audit_open(void)
{
	WRITE_ONCE(is_open, true);
}

/* Afterwards the family may go: nobody sends to its group any more. */
void snet_audit_close(void)
{
	WRITE_ONCE(is_open, false);
	synchronize_rcu();
}
