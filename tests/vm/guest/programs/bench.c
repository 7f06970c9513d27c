// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The cost of socket calls, for `vm.py bench`. Reads lines "CASE ROUNDS", answers each with a line
 * "LOWEST LOWER-QUARTILE MEDIAN UPPER-QUARTILE HIGHEST" and ends with its input.
 *
 * The time stamp counter of a guest under `-icount shift=0` counts the instructions that its CPU has
 * executed, in user space and in the kernel, interrupts included: differences of it are exact.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define MAX_ROUNDS 100000

/* Both ends are in this process: what is prepared and cleaned up is outside the measured part. */
static struct sockaddr_in stream_address, datagram_address;
static int listener, sender, receiver, client;

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "snet-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int bound(int type, struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, type, 0);

	check(fd >= 0, "socket");
	*address = (struct sockaddr_in) {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	check(!bind(fd, (void *)address, length), "bind");
	check(!getsockname(fd, (void *)address, &length), "getsockname");
	return fd;
}

static void nothing(void)
{
}

static void open_client(void)
{
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(client >= 0, "socket");
}

static void connect_and_close(void)
{
	check(!connect(client, (void *)&stream_address, sizeof(stream_address)), "connect");
	close(client);
}

/* The reset leaves nothing in TIME_WAIT, so that ports never become scarce. */
static void drain_backlog(void)
{
	const struct linger reset = { .l_onoff = 1 };
	int fd = accept(listener, NULL, NULL);

	check(fd >= 0, "accept");
	check(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), "SO_LINGER");
	close(fd);
}

static void send_one(void)
{
	check(sendto(sender, "x", 1, 0, (void *)&datagram_address,
		     sizeof(datagram_address)) == 1, "sendto");
}

static void receive_one(void)
{
	char byte;

	check(recv(receiver, &byte, 1, 0) == 1, "recv");
}

static void send_and_receive(void)
{
	send_one();
	receive_one();
}

static const struct measured {
	const char *name;
	void (*prepare)(void);
	void (*run)(void);
	void (*clean_up)(void);
	int forked;	/* each round in a process of its own, which has no ticket yet */
} cases[] = {
	{ "nothing", nothing, nothing, nothing, 0 },
	{ "connect", open_client, connect_and_close, drain_backlog, 0 },
	{ "send", nothing, send_one, receive_one, 0 },
	{ "recv", send_one, receive_one, nothing, 0 },
	{ "pair", nothing, send_and_receive, nothing, 0 },
	{ "fresh-connect", open_client, connect_and_close, drain_backlog, 1 },
};

static uint64_t round_of(const struct measured *measured)
{
	uint64_t begin, end;

	measured->prepare();
	begin = __rdtsc();
	measured->run();
	end = __rdtsc();
	measured->clean_up();
	return end - begin;
}

/* The child's first round measures nothing, and takes the page faults. */
static uint64_t forked_round_of(const struct measured *measured)
{
	static uint64_t *shared;
	int status;
	pid_t child;

	if (!shared) {
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		check(shared != MAP_FAILED, "mmap");
	}
	child = fork();
	check(child >= 0, "fork");
	if (!child) {
		*shared = round_of(&cases[0]);
		*shared = round_of(measured);
		_exit(0);
	}
	check(waitpid(child, &status, 0) == child && !status, "a child");
	return *shared;
}

static int by_size(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void measure(const struct measured *measured, int rounds)
{
	static uint64_t samples[MAX_ROUNDS];
	int i;

	for (i = 0; i < rounds; i++)
		samples[i] = measured->forked ? forked_round_of(measured) : round_of(measured);
	qsort(samples, rounds, sizeof(*samples), by_size);
	for (i = 0; i <= 4; i++)
		printf("%llu%c", (unsigned long long)samples[(rounds - 1) * i / 4], i < 4 ? ' ' : '\n');
	fflush(stdout);
}

/* How a call ends that no policy of the benchmark allows: shows that it is in force. */
static void probe(void)
{
	const struct sockaddr_in6 address = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(1),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), err = 0;

	if (fd < 0 || connect(fd, (const void *)&address, sizeof(address)))
		err = errno;
	if (fd >= 0)
		close(fd);
	printf("%d\n", err);
	fflush(stdout);
}

static const struct measured *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (!strcmp(cases[i].name, name))
			return &cases[i];
	fprintf(stderr, "snet-bench: there is no case %s\n", name);
	exit(1);
}

int main(void)
{
	char name[32];
	int rounds;

	listener = bound(SOCK_STREAM, &stream_address);
	check(!listen(listener, 16), "listen");
	receiver = bound(SOCK_DGRAM, &datagram_address);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	check(sender >= 0, "socket");
	while (scanf("%31s %d", name, &rounds) == 2) {
		if (!strcmp(name, "probe"))
			probe();
		else if (rounds < 1 || rounds > MAX_ROUNDS)
			exit(2);
		else
			measure(find(name), rounds);
	}
	return 0;
}
