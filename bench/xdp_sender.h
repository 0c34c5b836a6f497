/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xdp_sender.h - a process at the other end of a veth pair that sends frames over AF_XDP: a number at a time
 * when it is asked to, as fast as it can. Frames are UDP from 10.1.1.2 to 10.1.1.1, port SENDER_PORT, without
 * a checksum.
 */
#ifndef BENCH_XDP_SENDER_H
#define BENCH_XDP_SENDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../tests/port/veth.h"

#define SENDER_PORT 7000

struct sending {
	int orders, answers;
	pid_t pid;
};

void sender_start(struct sending *s, const struct veth *veth);
/* `frames` of `bytes` each; 0 frames: end. */
void sender_order(const struct sending *s, uint32_t bytes, uint32_t frames);
/* All of them are with the receiver. */
void sender_await(const struct sending *s);
bool sender_done(const struct sending *s);

#endif
