/* SPDX-License-Identifier: BSD-2-Clause */
/* http_fake.c - clients in memory: what is sent arrives at the next poll, and what is answered at once. */
#include "fake_stack.h"
#include "http_world.h"

static void visible(void *arg)
{
	sim_event(arg);
}

static void fake_open(struct http_world *w)
{
	w->stack = fake_stack_new(w->region);
	fake_stack_on_send(w->stack, visible, w->m);
}

static void fake_close(struct http_world *w)
{
	fake_stack_free(w->stack);
}

static void fake_pass(struct http_world *w)
{
	w->now.monotonic_us += 1000;
}

static void *fake_connect_to(struct http_world *w)
{
	return fake_connect(w->stack);
}

static void fake_send(void *conn, const void *bytes, size_t n)
{
	fake_client_sends(conn, bytes, n);
}

static void fake_end(void *conn)
{
	fake_client_ends(conn);
}

static void fake_reset(void *conn)
{
	fake_client_resets(conn);
}

static void fake_takes(void *conn, bool takes)
{
	fake_client_takes(conn, takes);
}

static const char *fake_got(void *conn, size_t *n)
{
	return fake_client_got(conn, n);
}

static bool fake_is_over(const void *conn)
{
	return fake_client_is_closed(conn) || fake_client_is_reset(conn);
}

static bool fake_is_lost(const void *conn)
{
	return false;
}

const struct http_transport http_fake = {
    .turns = 1,
    .open = fake_open,
    .close = fake_close,
    .pass = fake_pass,
    .connect = fake_connect_to,
    .send = fake_send,
    .end = fake_end,
    .reset = fake_reset,
    .takes = fake_takes,
    .got = fake_got,
    .is_over = fake_is_over,
    .is_lost = fake_is_lost,
};
