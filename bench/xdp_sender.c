/* SPDX-License-Identifier: BSD-2-Clause */
#include "xdp_sender.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port/xdp_socket.h"
#include "support.h"

#define SLOTS 2048
#define BATCH 64
#define SENDER_CHUNKS 4096

struct order {
	uint32_t bytes, frames; /* frames 0: the end */
};

static void build(uint8_t *f, uint32_t bytes)
{
	uint32_t sum = 0, ip = bytes - 14, udp = bytes - 34;
	uint16_t words[] = {0x4500, (uint16_t)ip, 1,    0x4000,      0x4011,        0, 0x0a01, 0x0102,
			    0x0a01, 0x0101,       4000, SENDER_PORT, (uint16_t)udp, 0};

	for (unsigned i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	words[5] = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	memset(f, 0x5a, bytes);
	memcpy(f, VETH_HERE_MAC, 6);
	memcpy(f + 6, VETH_THERE_MAC, 6);
	memcpy(f + 12, "\x08\0", 2);
	for (unsigned i = 0; i < 14; i++) {
		f[14 + i * 2] = (uint8_t)(words[i] >> 8);
		f[15 + i * 2] = (uint8_t)words[i];
	}
}

/* Copy mode: the call returns when the frames are with the receiver, and their buffers may be used again. */
static void send_frames(struct xdp_socket *s, const struct order *o)
{
	uint32_t sent = 0, done = 0;

	while (done < o->frames) {
		while (sent < o->frames && sent - done < SLOTS) {
			struct xdp_desc *d = &s->transmit.desc[s->transmit.mine++ & s->transmit.mask];
			*d = (struct xdp_desc){.addr = (uint64_t)(sent % SENDER_CHUNKS) * 2048,
					       .len = o->bytes};
			if (++sent % BATCH == 0)
				break;
		}
		xdp_ring_produced(&s->transmit);
		if (xdp_ring_waiting(&s->transmit) > 0)
			sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		else
			sched_yield(); /* the other end's softirq has the frames */
		uint32_t n = xdp_ring_ready(&s->completion);
		s->completion.mine += n;
		done += n;
		xdp_ring_consumed(&s->completion);
	}
}

_Noreturn static void sender(const struct veth *veth, int orders, int answers)
{
	struct xdp_memory_area area = {.bytes = SENDER_CHUNKS * 2048, .chunk = 2048};
	struct paste_error err = {{0}};
	struct xdp_socket s;
	uint32_t built = 0;
	struct order o;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setns(veth->there, CLONE_NEWNET) < 0)
		bench_die("sender: setns", -errno, NULL);
	area.start =
	    mmap(NULL, area.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (xdp_socket_open(&s, SLOTS, &err) < 0 || xdp_socket_register(&s, &area, &err) < 0)
		bench_die("sender", -EINVAL, &err);
	int ret = xdp_socket_bind(&s, &s, if_nametoindex(VETH_THERE), 0, XDP_COPY);
	if (ret < 0)
		bench_die("sender: bind", ret, NULL);
	while (read(orders, &o, sizeof(o)) == sizeof(o) && o.frames > 0) {
		for (uint32_t i = 0; o.bytes != built && i < SENDER_CHUNKS; i++)
			build((uint8_t *)area.start + i * 2048, o.bytes);
		built = o.bytes;
		send_frames(&s, &o);
		if (write(answers, "x", 1) != 1)
			break;
	}
	_exit(0);
}

void sender_start(struct sending *s, const struct veth *veth)
{
	int orders[2], answers[2];

	if (pipe(orders) < 0 || pipe(answers) < 0)
		bench_die("pipe", -errno, NULL);
	s->pid = fork();
	if (s->pid < 0)
		bench_die("fork", -errno, NULL);
	if (s->pid == 0) {
		close(orders[1]);
		sender(veth, orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	s->orders = orders[1];
	s->answers = answers[0];
}

void sender_order(const struct sending *s, uint32_t bytes, uint32_t frames)
{
	struct order o = {bytes, frames};

	if (write(s->orders, &o, sizeof(o)) != sizeof(o))
		bench_die("order", -errno, NULL);
}

void sender_await(const struct sending *s)
{
	char byte;

	if (read(s->answers, &byte, 1) != 1)
		bench_die("the sender is gone", -EPIPE, NULL);
}

bool sender_done(const struct sending *s)
{
	struct pollfd p = {.fd = s->answers, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}
