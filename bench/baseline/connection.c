/* SPDX-License-Identifier: BSD-2-Clause */
/* From bytes that were read to requests, and the replies. */
#include "baseline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define IOVECS 128
#define TEXT_FIRST 512
#define PIECES_FIRST 8

struct client *client_new(int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c)
		c->fd = fd;
	return c;
}

void client_free(struct client *c)
{
	close(c->fd);
	free(c->in);
	free(c->text);
	free(c->pieces);
	free(c);
}

/* Grow an array by doubling. */
static bool reserve(void **array, uint32_t *room, uint64_t wanted, size_t size, uint32_t first)
{
	uint64_t n = *room ? *room : first;

	if (wanted <= *room)
		return true;
	while (n < wanted)
		n *= 2;
	void *more = realloc(*array, n * size);
	if (!more)
		return false;
	*array = more;
	*room = (uint32_t)n;
	return true;
}

static bool add_piece(struct client *c, const uint8_t *bytes, uint32_t at, uint32_t length)
{
	struct piece *last = c->piece_count > c->piece_first ? &c->pieces[c->piece_count - 1] : NULL;

	if (last && !bytes && !last->bytes) { /* text behind text */
		last->length += length;
		return true;
	}
	if (!reserve((void **)&c->pieces, &c->piece_room, c->piece_count + 1, sizeof(*c->pieces),
		     PIECES_FIRST))
		return false;
	c->pieces[c->piece_count++] = (struct piece){bytes, at, length};
	return true;
}

static void answer(struct server *s, struct client *c, const struct reply *r, const struct found *found)
{
	const struct entry *e = found ? found->entry : NULL;
	bool ok = reserve((void **)&c->text, &c->text_room, (uint64_t)c->text_length + REPLY_HEAD_MAX, 1,
			  TEXT_FIRST);

	if (ok) {
		uint32_t n = reply_format(r, &s->date, (char *)c->text + c->text_length);

		ok = add_piece(c, NULL, c->text_length, n);
		c->text_length += n;
	}
	for (uint32_t i = 0; ok && e && !r->head_only && i < e->refs; i++)
		ok = add_piece(c, extent_bytes(&s->keep, &e->extent[i]), 0, e->extent[i].ref.length);
	if (!ok)
		c->dead = true;
	if (r->close)
		c->closing = true;
	if (!c->listed) {
		c->listed = true;
		c->next = s->replying;
		s->replying = c;
	}
}

static void refuse(struct server *s, struct client *c, int status)
{
	answer(s, c,
	       &(struct reply){
		   .status = (uint16_t)status, .body = REPLY_TEXT, .text = "refused\n", .close = true},
	       NULL);
}

static void execute(struct server *s, struct client *c, const struct http_request *http, const uint8_t *body)
{
	const struct request *q = &s->request;
	struct reply r = {.close = !http->keep_alive, .keep_1_0 = http->http_1_0 && http->keep_alive};
	struct found found = {0};
	int status;

	switch (q->method) {
	case HTTP_PUT:
		status = keep_put(&s->keep, q, body, http->content_length, &r.version);
		break;
	case HTTP_POST:
		status = keep_append(&s->keep, q, body, http->content_length, &r.version);
		r.body = status == 201 ? REPLY_SEQUENCE : REPLY_EMPTY;
		r.type = "application/json";
		break;
	case HTTP_DELETE:
		status = keep_delete(&s->keep, q);
		break;
	default:
		status = keep_get(&s->keep, q, &found);
		r.head_only = q->method == HTTP_HEAD;
		r.version = found.version;
		r.length = found.length;
		if (status == 200) {
			r.body = REPLY_SLICES;
			r.type = "application/octet-stream";
		}
	}
	r.status = (uint16_t)status;
	answer(s, c, &r, status == 200 ? &found : NULL);
	if (s->when == FLUSH_REQUEST && log_flush(&s->keep.log))
		s->error = -EIO;
}

/* Of what the service answers, values whose length is told: what is measured. */
static bool is_answered(const struct http_request *http, const struct request *r)
{
	if (http->chunked || http->content_length > BODY_MAX)
		return false;
	return r->resource == RESOURCE_KEY || r->resource == RESOURCE_ENTRY ||
	       (r->resource == RESOURCE_STREAM && r->method == HTTP_POST);
}

/* One request at the front of the bytes. How many bytes it took; 0: it is not whole. */
static uint64_t take_request(struct server *s, struct client *c, const uint8_t *bytes, uint64_t length)
{
	struct http_request http;
	struct query_text after;
	const char *why;
	uint32_t looked = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
	int end = http_scan(&c->scan, (const char *)bytes, looked);

	if (end == 0)
		return 0;
	int rc = end < 0
		     ? end
		     : http_parse(&http, (const char *)bytes + c->scan.start, (uint32_t)end - c->scan.start);
	if (rc < 0)
		rc = -http_rule_status((enum http_rule) - rc);
	if (rc == 0)
		rc = route(&http, &s->request, &after, &why);
	if (rc == 0 && !is_answered(&http, &s->request))
		rc = http.content_length > BODY_MAX ? -413 : -501;
	if (rc < 0) {
		refuse(s, c, -rc);
		return length;
	}
	if ((uint64_t)end + http.content_length > length) {
		if (http.expect_continue && !c->continued)
			answer(s, c, &(struct reply){.status = 100}, NULL);
		c->continued = true;
		return 0;
	}
	s->request.method = http.method;
	execute(s, c, &http, bytes + end);
	c->continued = false;
	return (uint64_t)end + http.content_length;
}

/* All whole requests; what is left of the bytes is kept for the next read. */
static void take_requests(struct server *s, struct client *c, const uint8_t *bytes, uint64_t length)
{
	uint64_t at = 0;

	while (at < length && !c->closing) {
		uint64_t n = take_request(s, c, bytes + at, length - at);
		/* A head that was found already is parsed again when its body is whole. */
		c->scan = (struct http_scan){0};
		if (!n)
			break;
		at += n;
	}
	uint64_t left = c->closing ? 0 : length - at;
	if (left && !reserve((void **)&c->in, &c->in_room, left, 1, SCRATCH_BYTES / 4)) {
		c->dead = true;
		return;
	}
	if (left && bytes + at != c->in)
		memmove(c->in, bytes + at, left);
	c->in_length = (uint32_t)left;
}

void client_read(struct server *s, struct client *c)
{
	uint8_t *into = s->scratch;
	size_t room = SCRATCH_BYTES;

	if (c->in_length) {
		uint64_t wanted = (uint64_t)c->in_length + SCRATCH_BYTES / 4;
		if (!reserve((void **)&c->in, &c->in_room, wanted, 1, SCRATCH_BYTES / 4)) {
			c->dead = true;
			return;
		}
		into = c->in + c->in_length;
		room = c->in_room - c->in_length;
	}
	ssize_t n = read(c->fd, into, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->dead = true;
		return;
	}
	if (c->closing)
		return;
	if (c->in_length)
		take_requests(s, c, c->in, (uint64_t)c->in_length + (uint64_t)n);
	else
		take_requests(s, c, s->scratch, (uint64_t)n);
}

/* So many bytes of the pieces are written. */
static void written(struct client *c, uint64_t n)
{
	while (c->piece_first < c->piece_count) {
		struct piece *p = &c->pieces[c->piece_first];

		if (n < p->length) {
			if (p->bytes)
				p->bytes += n;
			p->at += (uint32_t)n;
			p->length -= (uint32_t)n;
			return;
		}
		n -= p->length;
		c->piece_first++;
	}
	c->piece_first = c->piece_count = 0;
	c->text_length = 0;
}

bool client_write(struct client *c)
{
	while (c->piece_first < c->piece_count) {
		struct iovec iov[IOVECS];
		uint32_t n = 0;

		for (uint32_t i = c->piece_first; i < c->piece_count && n < IOVECS; i++, n++) {
			const struct piece *p = &c->pieces[i];
			const uint8_t *bytes = p->bytes ? p->bytes : c->text + p->at;

			iov[n] = (struct iovec){(void *)(uintptr_t)bytes, p->length};
		}
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
		ssize_t sent = n == 1 ? send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
				      : sendmsg(c->fd, &message, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			c->dead = errno != EAGAIN;
			return c->dead;
		}
		written(c, (uint64_t)sent);
	}
	return true;
}
