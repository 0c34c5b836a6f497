/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c - one connection, from accept to close.
 *
 * Closing takes up to three steps. Finishing: what is queued is sent. Lingering: our FIN is out and what the
 * peer still sends is read and dropped until its own FIN, because closing a socket with unread bytes makes
 * the kernel reset it, which can destroy a reply on its way (RFC 9112, 9.6). Dead: whatever request is still
 * in the kernel is cancelled; when the last one has completed the descriptor is closed and the struct is
 * free.
 */
#include "sock/sock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELD_SLAB 256

struct held_slab {
	struct held_slab *next;
	struct held items[HELD_SLAB];
};

static struct held *held_new(struct sock *s)
{
	if (!s->held_free) {
		struct held_slab *slab = malloc(sizeof(*slab));

		if (!slab)
			return NULL;
		slab->next = s->held_slabs;
		s->held_slabs = slab;
		for (int i = 0; i < HELD_SLAB; i++) {
			slab->items[i].next = s->held_free;
			s->held_free = &slab->items[i];
		}
	}
	struct held *h = s->held_free;
	s->held_free = h->next;
	return h;
}

void held_pool_close(struct sock *s)
{
	while (s->held_slabs) {
		struct held_slab *slab = s->held_slabs;

		s->held_slabs = slab->next;
		free(slab);
	}
}

/* The oldest held slice. */
static struct paste_ref held_pop(struct sock_conn *c)
{
	struct held *h = c->held_head;
	struct paste_ref slice = h->slice;

	c->held_head = h->next;
	if (!c->held_head)
		c->held_tail = NULL;
	h->next = c->sock->held_free;
	c->sock->held_free = h;
	return slice;
}

static void held_drop(struct sock_conn *c)
{
	while (c->held_head)
		paste_ref_put(c->sock->region, held_pop(c));
}

struct sock_conn *conn_new(struct sock *s, int fd)
{
	struct sock_conn *c = s->conns_free;

	if (c)
		s->conns_free = c->work_next;
	else if (s->conns_used < s->limits.connections)
		c = &s->conns[s->conns_used++];
	else
		return NULL;
	*c = (struct sock_conn){.base.ops = &sock_ops, .sock = s, .fd = fd};
	link_init(&c->starved_link);
	link_init(&c->closing_link);
	s->stats.accepted++;
	s->stats.connections++;
	conn_attend(c);
	return c;
}

static void conn_free(struct sock_conn *c)
{
	struct sock *s = c->sock;

	assert(!c->receiving && !c->sending && !c->cancelling && !c->in_work && !c->held_head);
	tx_drop(c);
	link_remove(&c->closing_link);
	if (c->starved) {
		link_remove(&c->starved_link);
		s->stats.waiting--;
	}
	close(c->fd);
	c->fd = -1;
	s->stats.connections--;
	s->stats.closed++;
	if (c->in_ready)
		return; /* conn_deliver_held() finds it there and frees the struct */
	c->work_next = s->conns_free;
	s->conns_free = c;
}

void conn_attend(struct sock_conn *c)
{
	struct sock *s = c->sock;

	if (c->in_work)
		return;
	c->in_work = true;
	c->work_next = NULL;
	if (s->work_tail)
		s->work_tail->work_next = c;
	else
		s->work_head = c;
	s->work_tail = c;
}

static void ready_append(struct sock_conn *c)
{
	struct sock *s = c->sock;

	if (c->in_ready)
		return;
	c->in_ready = true;
	c->ready_next = NULL;
	if (s->ready_tail)
		s->ready_tail->ready_next = c;
	else
		s->ready_head = c;
	s->ready_tail = c;
}

void conn_announce(struct sock_conn *c)
{
	c->announce = true;
	ready_append(c);
}

static void request_receive(struct sock_conn *c)
{
	struct io_uring_sqe *sqe = sock_sqe(c->sock);

	io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = 0;
	if (c->sock->receive.bundles)
		sqe->ioprio |= SOCK_RECV_BUNDLE;
	io_uring_sqe_set_data64(sqe, sock_tag(c, SOCK_OP_RECEIVE));
	c->receiving = true;
}

/* By its tag, by which the kernel finds it at once. Asked for all of a descriptor's requests, it would look at those of
 * every other connection, too. */
static void request_cancel(struct sock_conn *c, enum sock_op op)
{
	struct io_uring_sqe *sqe = sock_sqe(c->sock);

	io_uring_prep_cancel64(sqe, sock_tag(c, op), 0);
	io_uring_sqe_set_data64(sqe, sock_tag(c, SOCK_OP_CANCEL));
	c->cancelling++;
}

static void set_deadline(struct sock_conn *c, struct link *list, int64_t after_us)
{
	link_remove(&c->closing_link);
	link_append(list, &c->closing_link);
	c->deadline = sock_clock_us() + after_us;
}

static void die(struct sock_conn *c, int error)
{
	if (!c->dead) {
		c->dead = true;
		c->error = error;
	}
	conn_attend(c);
}

static void work_on_dead(struct sock_conn *c)
{
	if (c->receiving || c->sending) {
		if (c->cancelling)
			return; /* looked at again when it is over */
		if (c->receiving)
			request_cancel(c, SOCK_OP_RECEIVE);
		if (c->sending)
			request_cancel(c, SOCK_OP_SEND);
	} else if (!c->cancelling && c->closed) {
		conn_free(c);
	}
}

/* Turn the connection's state into requests to the kernel. */
void conn_work(struct sock_conn *c)
{
	if (c->closed && !c->dead && !c->unsent) {
		if (c->eof)
			c->dead = true; /* both sides are done: nothing to wait for */
		else if (!c->shut) {
			shutdown(c->fd, SHUT_WR);
			c->shut = true;
			set_deadline(c, &c->sock->lingering, SOCK_LINGER_US);
		}
	}
	if (c->dead) {
		work_on_dead(c);
		return;
	}
	if (c->unsent && !c->sending)
		tx_submit(c);
	if (c->paused) {
		if (c->receiving && !c->cancelling)
			request_cancel(c, SOCK_OP_RECEIVE);
	} else if (!c->receiving && !c->eof && !c->starved) {
		request_receive(c);
	}
}

/* Bytes of the queue are released: told with the next poll, where that was asked for. */
static void release(struct sock_conn *c, uint32_t bytes)
{
	tx_consume(c, bytes);
	c->released += bytes;
	if (!bytes || !c->sock->limits.released || c->closed)
		return;
	c->tell_released = true;
	ready_append(c);
}

/* Dead, and the kernel has nothing of the queue any more. */
static void release_rest(struct sock_conn *c)
{
	release(c, c->unsent);
	ready_append(c); /* for the error */
}

static int report_error(struct sock_conn *c, int error, struct paste_event *event)
{
	die(c, error);
	if (c->closed || c->error_reported)
		return 0;
	c->error_reported = true;
	if (c->sock->limits.released) {
		c->tell_error = true;
		if (!c->sending)
			release_rest(c);
		return 0;
	}
	*event = (struct paste_event){.type = PASTE_EVENT_ERROR, .error = c->error, .conn = &c->base};
	return 1;
}

static int report_eof(struct sock_conn *c, struct paste_event *event)
{
	if (c->closed || c->eof_reported)
		return 0;
	c->eof_reported = true;
	*event = (struct paste_event){.type = PASTE_EVENT_EOF, .conn = &c->base};
	return 1;
}

/* A slice: hand it over, or hold it while the connection is paused, older ones are held, or there is no room for
 * its event. Returns the number of events made, or -ENOMEM. */
static int report_data(struct sock_conn *c, struct paste_ref slice, struct paste_event *event, int room)
{
	struct sock *s = c->sock;

	if (c->closed || c->dead) {
		paste_ref_put(s->region, slice);
		return 0;
	}
	s->stats.received_slices++;
	s->stats.received_bytes += slice.length;
	if (!c->paused && !c->held_head && room) {
		*event = (struct paste_event){.type = PASTE_EVENT_DATA, .conn = &c->base, .slice = slice};
		return 1;
	}

	struct held *h = held_new(s);
	if (!h) {
		paste_ref_put(s->region, slice);
		return -ENOMEM;
	}
	*h = (struct held){.slice = slice};
	if (c->held_tail)
		c->held_tail->next = h;
	else
		c->held_head = h;
	c->held_tail = h;
	if (!c->paused)
		ready_append(c);
	return 0;
}

static int report_all(struct sock_conn *c, struct received data, struct paste_event *events, int max)
{
	struct sock *s = c->sock;
	struct paste_ref slice;
	int n = 0, rc = 0;

	while (receive_next(s, &data, &slice)) {
		rc = report_data(c, slice, &events[n], max - n);
		if (rc < 0)
			break;
		n += rc;
	}
	if (rc >= 0)
		return n;
	while (receive_next(s, &data, &slice))
		paste_ref_put(s->region, slice);
	/* Memory is wanted only where there is no room for the event, or after a pause: what the error needs then is
	 * taken from the data before it, which is in vain now. */
	if (n == max)
		paste_ref_put(s->region, events[--n].slice);
	return n + report_error(c, rc, &events[n]);
}

/* A completion of the multishot receive. Returns the number of events made. */
int conn_received(struct sock_conn *c, const struct io_uring_cqe *cqe, struct paste_event *event, int max)
{
	struct sock *s = c->sock;
	int result = cqe->res;

	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		c->receiving = false;
		conn_attend(c);
	}
	if (result > 0)
		return report_all(c, received_of(cqe), event, max);
	if (cqe->flags & IORING_CQE_F_BUFFER)
		receive_drop(s, cqe->flags);

	switch (result) {
	case 0:
		c->eof = true;
		if (c->paused || c->held_head)
			return 0; /* after what is held, see conn_deliver_held() */
		return report_eof(c, event);
	case -ENOBUFS:
		receive_starved(s);
		if (!c->starved && !c->dead) {
			c->starved = true;
			s->stats.waiting++;
			link_append(&s->starved, &c->starved_link);
		}
		return 0;
	case -ECANCELED:
	case -EINTR:
	case -EAGAIN:
		return 0;
	default:
		return report_error(c, result, event);
	}
}

int conn_sent(struct sock_conn *c, int result, struct paste_event *event)
{
	struct sock *s = c->sock;

	c->sending = false;
	if (result > 0) {
		s->stats.sends++;
		s->stats.sent_bytes += (uint32_t)result;
		release(c, (uint32_t)result);
	}
	if (c->unsent || c->closed || c->dead)
		conn_attend(c);
	if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN)
		return report_error(c, result, event);
	if (c->tell_error && !c->closed) {
		release_rest(c);
		return 0;
	}
	if (c->closed && !c->dead && c->unsent)
		set_deadline(c, &s->finishing, SOCK_FINISH_US);
	if (c->want_writable && !c->closed && c->unsent < s->limits.send_bytes / 2) {
		c->want_writable = false;
		*event = (struct paste_event){.type = PASTE_EVENT_WRITABLE, .conn = &c->base};
		return 1;
	}
	return 0;
}

/* Events of connections that were paused and are not any more, or are new, or of which something was
 * released. What is new is told of before anything is received on it: completions are looked at when there is
 * room behind all of these. */
int conn_deliver_held(struct sock *s, struct paste_event *events, int max)
{
	int n = 0;

	while (s->ready_head && n < max) {
		struct sock_conn *c = s->ready_head;

		if (c->announce && !c->closed)
			events[n++] = (struct paste_event){.type = PASTE_EVENT_ACCEPT, .conn = &c->base};
		c->announce = false;
		if (c->tell_released && !c->closed && n < max) {
			events[n++] = (struct paste_event){
			    .type = PASTE_EVENT_RELEASED, .conn = &c->base, .released = c->released};
			c->tell_released = false;
		}
		while (c->held_head && !c->paused && !c->closed && n < max)
			events[n++] = (struct paste_event){
			    .type = PASTE_EVENT_DATA, .conn = &c->base, .slice = held_pop(c)};
		if (c->eof && !c->held_head && !c->paused && n < max)
			n += report_eof(c, &events[n]);
		if (c->tell_error && !c->tell_released && !c->sending && !c->closed && n < max) {
			events[n++] = (struct paste_event){
			    .type = PASTE_EVENT_ERROR, .error = c->error, .conn = &c->base};
			c->tell_error = false;
		}
		if (n == max && (!c->paused || c->tell_released || c->tell_error) && !c->closed)
			break;
		s->ready_head = c->ready_next;
		if (!s->ready_head)
			s->ready_tail = NULL;
		c->in_ready = false;
		if (c->fd < 0) {
			c->work_next = s->conns_free;
			s->conns_free = c;
		}
	}
	return n;
}

static void expire_list(struct link *list, int64_t now)
{
	while (!link_empty(list)) {
		struct sock_conn *c = link_owner(list->next, struct sock_conn, closing_link);

		if (c->deadline > now)
			return;
		link_remove(&c->closing_link);
		die(c, -ETIMEDOUT);
	}
}

/* Every list has one time-out, so it is in order of deadlines. */
void conn_expire(struct sock *s, int64_t now)
{
	expire_list(&s->finishing, now);
	expire_list(&s->lingering, now);
}

void conn_pause(struct paste_conn *base)
{
	struct sock_conn *c = (struct sock_conn *)base;

	c->paused = true;
	conn_attend(c);
}

void conn_resume(struct paste_conn *base)
{
	struct sock_conn *c = (struct sock_conn *)base;

	c->paused = false;
	if (c->held_head || (c->eof && !c->eof_reported))
		ready_append(c);
	conn_attend(c);
}

static void conn_close(struct sock_conn *c)
{
	assert(!c->closed);
	c->closed = true;
	c->paused = false;
	held_drop(c);
	conn_attend(c);
}

void conn_finish(struct paste_conn *base)
{
	struct sock_conn *c = (struct sock_conn *)base;

	conn_close(c);
	if (!c->dead && c->unsent)
		set_deadline(c, &c->sock->finishing, SOCK_FINISH_US);
}

void conn_abort(struct paste_conn *base)
{
	struct sock_conn *c = (struct sock_conn *)base;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	conn_close(c);
	die(c, -ECONNABORTED);
}

void conn_peer(const struct paste_conn *base, char *text, size_t size)
{
	const struct sock_conn *c = (const struct sock_conn *)base;
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getpeername(c->fd, (struct sockaddr *)&address, &length))
		memset(&address, 0, sizeof(address));
	address_format(&address, text, size);
}
