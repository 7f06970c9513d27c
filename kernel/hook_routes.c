// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source routes: by an IPv4 option or an IPv6 routing header a sender has its packets go to
 * another host first than the one it names. A call decided for the one would reach the other,
 * so source routes are refused while any connect or send is watched: where a program makes
 * one, and (for sockets that had one before) where it is used.
 */
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/transp_v6.h>

#include "compat.h"
#include "hook.h"
#include "mediate.h"

#if IS_ENABLED(CONFIG_IPV6)
static bool has_options_v6(const struct sock *sk)
{
	return rcu_access_pointer(inet6_sk(sk)->opt) || rcu_access_pointer(compat_flow_labels(sk));
}

/*
 * By its own header, or by that of a flow label which it may use: a message names its label,
 * and a label may be older than the socket.
 */
static bool is_routed_v6(const struct sock *sk)
{
	const struct ipv6_txoptions *options = rcu_dereference(inet6_sk(sk)->opt);
	const struct ipv6_fl_socklist *label;

	if (options && options->srcrt)
		return true;
	for (label = rcu_dereference(compat_flow_labels(sk)); label;
	     label = rcu_dereference(label->next))
		if (label->fl->opt && label->fl->opt->srcrt)
			return true;
	return false;
}
#else
static bool has_options_v6(const struct sock *sk)
{
	return false;
}

static bool is_routed_v6(const struct sock *sk)
{
	return false;
}
#endif

/* Almost no socket has any, which is seen without looking at them. */
static bool has_options(const struct sock *sk)
{
	return rcu_access_pointer(inet_sk(sk)->inet_opt) ||
	       (sk->sk_family == AF_INET6 && has_options_v6(sk));
}

bool snet_is_source_routed(const struct sock *sk)
{
	const struct ip_options_rcu *v4;
	bool routed;

	if ((sk->sk_family != AF_INET && sk->sk_family != AF_INET6) || likely(!has_options(sk)))
		return false;
	rcu_read_lock();
	v4 = rcu_dereference(inet_sk(sk)->inet_opt);
	routed = (v4 && v4->opt.srr) || (sk->sk_family == AF_INET6 && is_routed_v6(sk));
	rcu_read_unlock();
	return routed;
}

#define NEEDED	.guards[SNET_OP_CONNECT] = SNET_INET, .guards[SNET_OP_SEND] = SNET_INET

SNET_ORIGINAL(int, ip_options_get, SNET_PARAMS(struct net *net, struct ip_options_rcu **optp,
						sockptr_t data, int optlen))

/* For IP_OPTIONS and IP_RETOPTS. */
static int wrap_ip_options_get(struct net *net, struct ip_options_rcu **optp, sockptr_t data,
			       int optlen)
{
	int err;

	snet_in_flight_begin();
	err = static_call(original_ip_options_get)(net, optp, data, optlen);
	if (!err && *optp && (*optp)->opt.srr) {
		err = snet_refuse_source_route(net, NULL);
		if (err) {
			kfree(*optp);
			*optp = NULL;
		}
	}
	snet_in_flight_end();
	return err;
}
SNET_FUNCTION_HOOK(ip_options_get, NEEDED);

#if IS_ENABLED(CONFIG_IPV6)
SNET_ORIGINAL(struct ipv6_txoptions *, ipv6_renew_options,
	      SNET_PARAMS(struct sock *sk, struct ipv6_txoptions *opt, int newtype,
			  struct ipv6_opt_hdr *newopt))

/* For IPV6_RTHDR. */
static struct ipv6_txoptions *wrap_ipv6_renew_options(struct sock *sk, struct ipv6_txoptions *opt,
						      int newtype, struct ipv6_opt_hdr *newopt)
{
	struct ipv6_txoptions *renewed;
	int err = 0;

	snet_in_flight_begin();
	if (newtype == IPV6_RTHDR && newopt)
		err = snet_refuse_source_route(sock_net(sk), sk);
	renewed = err ? ERR_PTR(err) :
			static_call(original_ipv6_renew_options)(sk, opt, newtype, newopt);
	snet_in_flight_end();
	return renewed;
}
SNET_FUNCTION_HOOK(ipv6_renew_options, NEEDED);

SNET_ORIGINAL(int, ip6_datagram_send_ctl,
	      SNET_PARAMS(struct net *net, struct sock *sk, struct msghdr *msg,
			  struct flowi6 *fl6, struct ipcm6_cookie *ipc6))

/* For control messages, IPV6_2292PKTOPTIONS and IPV6_FLOWLABEL_MGR. */
static int wrap_ip6_datagram_send_ctl(struct net *net, struct sock *sk, struct msghdr *msg,
				      struct flowi6 *fl6, struct ipcm6_cookie *ipc6)
{
	int err;

	snet_in_flight_begin();
	err = static_call(original_ip6_datagram_send_ctl)(net, sk, msg, fl6, ipc6);
	if (!err && ipc6->opt && ipc6->opt->srcrt)
		err = snet_refuse_source_route(net, sk);
	snet_in_flight_end();
	return err;
}
SNET_FUNCTION_HOOK(ip6_datagram_send_ctl, NEEDED);
#endif
