// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Socket calls by io_uring, on command. Each line on standard input is MODE CALL ADDRESS PORT; the answer is one
 * line, `ok` or the name of an errno, or `unsupported` where this kernel has no such operation. The call `multishot`
 * accepts twice by one request, and answers two words.
 *
 * Modes: plain; async (IOSQE_ASYNC, a worker makes the call); linked (after a no-op); sqpoll (the kernel's submission
 * thread makes it); child and child-sqpoll (a forked child uses the ring it inherited); persona (submitted by uid 1000
 * with the credentials that were registered before).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Since 6.7 and 6.11, and so not in every header. */
#define CMD_SETSOCKOPT 3
#define OP_BIND 56
#define OP_LISTEN 57
#define UNSUPPORTED 10000
#define DONE 10001
#define ENTRIES 8

struct ring {
	int fd;
	bool polled;
	unsigned int *sq_tail, *sq_flags, *sq_array, *cq_head, *cq_tail;
	unsigned int sq_mask, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static struct sockaddr_storage target;
static socklen_t target_len;
static unsigned char route[8] = { 131, 7, 4, [7] = 1 };
static char byte = 'x';
static struct iovec vector = { &byte, 1 };
static struct msghdr message = { .msg_name = &target, .msg_iov = &vector, .msg_iovlen = 1 };

static void ring_open(struct ring *ring, bool polled)
{
	struct io_uring_params p = { .flags = polled ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 1000 };
	char *sq, *cq;

	ring->polled = polled;
	ring->fd = syscall(SYS_io_uring_setup, ENTRIES, &p);
	if (ring->fd < 0) {
		perror("io_uring_setup");
		exit(1);
	}
	sq = mmap(NULL, p.sq_off.array + ENTRIES * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		  IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + 2 * ENTRIES * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
		  MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, ENTRIES * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			  ring->fd, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || ring->sqes == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	ring->sq_tail = (void *)(sq + p.sq_off.tail);
	ring->sq_flags = (void *)(sq + p.sq_off.flags);
	ring->sq_array = (void *)(sq + p.sq_off.array);
	ring->sq_mask = *(unsigned int *)(sq + p.sq_off.ring_mask);
	ring->cq_head = (void *)(cq + p.cq_off.head);
	ring->cq_tail = (void *)(cq + p.cq_off.tail);
	ring->cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	ring->cqes = (void *)(cq + p.cq_off.cqes);
}

static bool ring_can(const struct ring *ring, int opcode)
{
	char space[sizeof(struct io_uring_probe) + 256 * sizeof(struct io_uring_probe_op)] = {};
	struct io_uring_probe *probe = (void *)space;

	return !syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PROBE, probe, 256) &&
	       opcode < probe->ops_len && probe->ops[opcode].flags & IO_URING_OP_SUPPORTED;
}

static void ring_add(struct ring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *ring->sq_tail;

	ring->sqes[tail & ring->sq_mask] = *sqe;
	ring->sq_array[tail & ring->sq_mask] = tail & ring->sq_mask;
	__atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
}

/* Submits what was added (0: nothing), waits for the completion whose user data is 1, returns its result. */
static int ring_run(struct ring *ring, unsigned int count)
{
	for (;;) {
		unsigned int head = *ring->cq_head, flags = IORING_ENTER_GETEVENTS;

		while (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
			struct io_uring_cqe cqe = ring->cqes[head++ & ring->cq_mask];

			__atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
			/* A zero-copy send completes twice; the second is a notice only. */
			if (cqe.user_data == 1 && !(cqe.flags & IORING_CQE_F_NOTIF))
				return cqe.res;
		}
		__sync_synchronize();
		if (ring->polled && *ring->sq_flags & IORING_SQ_NEED_WAKEUP)
			flags |= IORING_ENTER_SQ_WAKEUP;
		if (syscall(SYS_io_uring_enter, ring->fd, ring->polled ? 0 : count, 1, flags, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
		count = 0;
	}
}

static void target_set(const char *address, int port)
{
	struct sockaddr_in *in = (void *)&target;
	struct sockaddr_in6 *in6 = (void *)&target;

	memset(&target, 0, sizeof(target));
	target.ss_family = strchr(address, ':') ? AF_INET6 : AF_INET;
	inet_pton(target.ss_family, address, target.ss_family == AF_INET ? (void *)&in->sin_addr :
									   (void *)&in6->sin6_addr);
	in->sin_port = htons(port);
	target_len = target.ss_family == AF_INET ? sizeof(*in) : sizeof(*in6);
	message.msg_namelen = target_len;
}

static int listening(int family)
{
	int fd = socket(family, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&target, target_len) || listen(fd, 8)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

/* Fills in @sqe and returns the socket that the call is about. */
static int call_set(struct io_uring_sqe *sqe, const char *call)
{
	int family = target.ss_family, fd = -1, on = 1;

	memset(sqe, 0, sizeof(*sqe));
	sqe->user_data = 1;
	if (!strcmp(call, "socket")) {
		sqe->opcode = IORING_OP_SOCKET;
		sqe->fd = family;
		sqe->off = SOCK_STREAM;
		return -1;
	}
	if (!strcmp(call, "accept") || !strcmp(call, "multishot")) {
		sqe->opcode = IORING_OP_ACCEPT;
		sqe->ioprio = *call == 'm' ? IORING_ACCEPT_MULTISHOT : 0;
		fd = listening(family);
	} else if (!strcmp(call, "route")) {
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = CMD_SETSOCKOPT;
		sqe->addr = (unsigned long)SOL_IP | (unsigned long)IP_OPTIONS << 32;
		sqe->file_index = sizeof(route);
		sqe->addr3 = (unsigned long)route;
		memcpy(route + 3, &((struct sockaddr_in *)&target)->sin_addr, 4);
	} else if (!strcmp(call, "connect")) {
		sqe->opcode = IORING_OP_CONNECT;
		sqe->addr = (unsigned long)&target;
		sqe->off = target_len;
	} else if (!strcmp(call, "bind") || !strcmp(call, "listen")) {
		sqe->opcode = *call == 'b' ? OP_BIND : OP_LISTEN;
		sqe->addr = *call == 'b' ? (unsigned long)&target : 0;
		sqe->off = *call == 'b' ? target_len : 0;
		sqe->len = *call == 'b' ? 0 : 8;
	} else {
		fd = socket(family, SOCK_DGRAM, 0);
		sqe->addr = (unsigned long)&byte;
		sqe->len = 1;
		if (!strcmp(call, "recv")) {
			sqe->opcode = IORING_OP_RECV;
			setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
			bind(fd, (void *)&target, target_len);
		} else if (!strcmp(call, "sendmsg") || !strcmp(call, "sendmsg_zc")) {
			sqe->opcode = call[7] ? IORING_OP_SENDMSG_ZC : IORING_OP_SENDMSG;
			sqe->addr = (unsigned long)&message;
		} else {
			sqe->opcode = strcmp(call, "send_zc") ? IORING_OP_SEND : IORING_OP_SEND_ZC;
			sqe->addr2 = (unsigned long)&target;
			sqe->addr_len = target_len;
		}
	}
	if (fd < 0)
		fd = socket(family, SOCK_STREAM, 0);
	sqe->fd = fd;
	return fd;
}

static int call_make(struct ring *ring, const char *mode, const struct io_uring_sqe *sqe)
{
	struct io_uring_sqe first = { .opcode = IORING_OP_NOP, .flags = IOSQE_IO_LINK }, call = *sqe;
	int persona = 0, result, count = 1;

	if (!strcmp(mode, "async"))
		call.flags |= IOSQE_ASYNC;
	if (!strcmp(mode, "linked")) {
		ring_add(ring, &first);
		count = 2;
	}
	if (!strcmp(mode, "persona")) {
		persona = syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PERSONALITY, NULL, 0);
		call.personality = persona;
		if (persona < 0 || setresuid(-1, 1000, -1))
			return -errno;
	}
	ring_add(ring, &call);
	result = ring_run(ring, count);
	return persona && setresuid(-1, 0, -1) ? -errno : result;
}

/* @second: the next result of a request that goes on, or DONE. */
static int attempt(const char *mode, const char *call, int *second)
{
	bool child = !strncmp(mode, "child", 5);
	struct io_uring_sqe sqe;
	struct ring ring = {};
	int fd, status, result;

	ring_open(&ring, strstr(mode, "sqpoll"));
	fd = call_set(&sqe, call);
	if (!ring_can(&ring, sqe.opcode)) {
		result = UNSUPPORTED;
	} else if (child) {
		if (!fork())
			_exit(-call_make(&ring, mode, &sqe) & 255);
		wait(&status);
		result = -WEXITSTATUS(status);
	} else {
		result = call_make(&ring, mode, &sqe);
		if (sqe.opcode == IORING_OP_URING_CMD && result == -EOPNOTSUPP)
			result = UNSUPPORTED;
	}
	*second = DONE;
	if (result >= 0 && sqe.ioprio & IORING_ACCEPT_MULTISHOT && sqe.opcode == IORING_OP_ACCEPT)
		*second = ring_run(&ring, 0);
	if (result > 0 && result < UNSUPPORTED && sqe.opcode != IORING_OP_CONNECT && fd < result)
		close(result);	/* a new socket, or the harmless count of bytes */
	close(fd);
	close(ring.fd);
	return result;
}

static const char *name_of(int result)
{
	return result == UNSUPPORTED ? "unsupported" : result < 0 ? strerrorname_np(-result) : "ok";
}

int main(void)
{
	char mode[32], call[32], address[64];
	int port, result, second;

	setlinebuf(stdout);
	puts("ready");
	while (scanf("%31s %31s %63s %d", mode, call, address, &port) == 4) {
		target_set(address, port);
		result = attempt(mode, call, &second);
		if (second == DONE)
			puts(name_of(result));
		else
			printf("%s %s\n", name_of(result), name_of(second));
	}
	return 0;
}
