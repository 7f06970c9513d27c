// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The least that a decider can be: allows every event, with one ticket for all that is like it, and
 * looks at nothing but the request's id. What snetd is measured against by `vm.py bench`.
 *
 * Its one argument is the id of the family `snet`; it prints "ready" when it is registered.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "snet.h"

struct message {
	struct nlmsghdr header;
	struct genlmsghdr command;
	char payload[256];
};

static int netlink;
static uint16_t family;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void begin(struct message *message, uint8_t command)
{
	memset(message, 0, sizeof(*message));
	message->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	message->header.nlmsg_type = family;
	message->header.nlmsg_flags = NLM_F_REQUEST;
	message->command.cmd = command;
	message->command.version = SNET_FAMILY_VERSION;
}

static struct nlattr *put(struct message *message, uint16_t type, const void *value, size_t size)
{
	struct nlattr *attr = (void *)message + message->header.nlmsg_len;

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + size;
	memcpy((void *)attr + NLA_HDRLEN, value, size);
	message->header.nlmsg_len += NLA_ALIGN(attr->nla_len);
	return attr;
}

static void put_u32(struct message *message, uint16_t type, uint32_t value)
{
	put(message, type, &value, sizeof(value));
}

static void send_message(const struct message *message)
{
	const ssize_t size = message->header.nlmsg_len;

	if (send(netlink, message, size, 0) != size)
		fail("responder: send");
}

static void allow(uint64_t request)
{
	static uint64_t ticket_id;
	struct message message;
	struct nlattr *ticket;

	ticket_id++;
	begin(&message, SNET_CMD_VERDICT);
	put(&message, SNET_A_MAIN_REQUEST_ID, &request, sizeof(request));
	put_u32(&message, SNET_A_MAIN_VERDICT, SNET_VERDICT_ALLOW);
	ticket = put(&message, SNET_A_MAIN_TICKET | NLA_F_NESTED, NULL, 0);
	put(&message, SNET_A_TICKET_ID, &ticket_id, sizeof(ticket_id));
	put_u32(&message, SNET_A_TICKET_OPERATIONS, 1 << SNET_OP_CONNECT);
	put_u32(&message, SNET_A_TICKET_PROTOCOLS, 1 << SNET_PROTO_TCP);
	put_u32(&message, SNET_A_TICKET_VERDICT, SNET_VERDICT_ALLOW);
	ticket->nla_len = (void *)&message + message.header.nlmsg_len - (void *)ticket;
	send_message(&message);
}

/* The request's id is the first attribute of an event. */
static void answer(const struct message *event)
{
	const struct nlattr *attr = (const void *)event->payload;
	uint64_t request;

	while (attr->nla_type != SNET_A_MAIN_REQUEST_ID)
		attr = (const void *)attr + NLA_ALIGN(attr->nla_len);
	memcpy(&request, (const void *)attr + NLA_HDRLEN, sizeof(request));
	allow(request);
}

int main(int argc, char **argv)
{
	static union {
		struct message message;
		char bytes[16384];
	} buffer;
	struct message registration;

	family = argc == 2 ? atoi(argv[1]) : 0;
	netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	if (netlink < 0 || !family)
		fail("responder: socket");
	begin(&registration, SNET_CMD_REGISTER);
	send_message(&registration);
	/* Its reply is there: the kernel has done what a message asks when it is sent. */
	if (recv(netlink, &buffer, sizeof(buffer), 0) < 0 ||
	    buffer.message.header.nlmsg_type != family)
		fail("responder: register");
	puts("ready");
	fflush(stdout);
	while (recv(netlink, &buffer, sizeof(buffer), 0) > 0)
		if (buffer.message.header.nlmsg_type == family &&
		    buffer.message.command.cmd == SNET_CMD_EVENT)
			answer(&buffer.message);
	return 1;
}
