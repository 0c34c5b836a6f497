/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_clients.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_DRAWN (ASKS_MAX - 120) /* beyond that only time passes, and what a crash left is read */

void http_clients_begin(struct http_clients *c, struct sim_random random, uint32_t n)
{
	uint32_t lost_n = c->lost_n;
	int32_t lost[8];

	memcpy(lost, c->lost, sizeof(lost));
	*c = (struct http_clients){.random = random, .n = n, .lost_n = lost_n};
	memcpy(c->lost, lost, sizeof(lost));
	for (int i = 0; i < CLIENTS_MAX; i++)
		c->last[i] = -1;
}

static void broken(struct http_clients *c, const struct ask *o, const char *what)
{
	char text[300];

	if (!c->broken)
		snprintf(c->broken_text, sizeof(c->broken_text), "%s: %s", what,
			 ask_text(o, text, sizeof(text)));
	c->broken = c->broken_text;
}

/* ------------------------------------------------------------------ requests */

struct message {
	char at[40000];
	size_t n;
};

static void say(struct message *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct message *m, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	m->n += (size_t)vsnprintf(m->at + m->n, sizeof(m->at) - m->n, format, ap);
	va_end(ap);
	assert(m->n < sizeof(m->at));
}

static void say_value(struct message *m, uint16_t id)
{
	uint8_t bytes[5000];

	value_fill(id, bytes);
	assert(m->n + value_length(id) < sizeof(m->at));
	memcpy(m->at + m->n, bytes, value_length(id));
	m->n += value_length(id);
}

static void say_body(struct message *m, struct sim_random *r, const struct message *body)
{
	if (sim_chance(r, 8))
		say(m, "Expect: 100-continue\r\n");
	if (!sim_chance(r, 5)) {
		say(m, "Content-Length: %zu\r\n\r\n", body->n);
		memcpy(m->at + m->n, body->at, body->n);
		m->n += body->n;
		return;
	}
	size_t first = sim_below(r, body->n + 1);
	say(m, "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 2; i++) {
		size_t from = i ? first : 0, n = i ? body->n - first : first;

		if (!n)
			continue;
		say(m, "%zx\r\n", n);
		memcpy(m->at + m->n, body->at + from, n);
		m->n += n;
		say(m, "\r\n");
	}
	say(m, "0\r\n\r\n");
}

static void say_condition(struct message *m, const struct http_history *h, const struct ask_part *p)
{
	switch (p->condition) {
	case COND_PRESENT:
		say(m, "If-Match: *\r\n");
		break;
	case COND_ABSENT:
		say(m, "If-None-Match: *\r\n");
		break;
	case COND_VERSION:
		say(m, "If-Match: \"%llx\"\r\n", (unsigned long long)h->version[p->expected]);
		break;
	case COND_NOT_VERSION:
		say(m, "If-None-Match: \"%llx\"\r\n", (unsigned long long)h->version[p->expected]);
		break;
	}
}

static void say_part(struct message *m, const struct http_history *h, const struct ask_part *p)
{
	unsigned long long version = p->condition == COND_VERSION || p->condition == COND_NOT_VERSION
					 ? (unsigned long long)h->version[p->expected]
					 : 0;

	if (p->type == ASK_PUT)
		say(m, "put %s %u", key_names[p->name], value_length(p->id));
	else if (p->type == ASK_APPEND)
		say(m, "append %s %u", stream_names[p->name], value_length(p->id));
	else
		say(m, "delete %s", key_names[p->name]);
	if (p->condition == COND_PRESENT)
		say(m, " if-match=*");
	if (p->condition == COND_ABSENT)
		say(m, " if-none-match=*");
	if (p->condition == COND_VERSION)
		say(m, " if-match=%llx", version);
	if (p->condition == COND_NOT_VERSION)
		say(m, " if-none-match=%llx", version);
	if (p->condition == COND_NEXT)
		say(m, " expect=%u", p->expected);
	if (p->ttl)
		say(m, " ttl=%u", p->ttl);
	say(m, "\n");
	if (p->type != ASK_DELETE) {
		say_value(m, p->id);
		say(m, "\n");
	}
}

static void say_query(struct message *m, const struct ask *o)
{
	const char *and = "?";

	if (o->prefix < 0 && o->kind == ASK_DELETE_PREFIX) {
		say(m, "?prefix=");
	} else if (o->prefix >= 0) {
		say(m, "%sprefix=%c", and, 'a' + o->prefix);
		and = "&";
	}
	if (o->after >= 0) {
		say(m, "%safter=%s", and, key_names[o->after]);
		and = "&";
	}
	if (o->limited)
		say(m, "%slimit=%u", and, o->limit);
}

static void say_changes(struct message *m, struct sim_random *r, const struct http_history *h,
			const struct ask *o)
{
	static struct message body;
	const struct ask_part *p = &o->part[0];

	body.n = 0;
	if (o->kind == ASK_BATCH) {
		say(m, "POST /batch HTTP/1.1\r\nHost: x\r\n");
		for (uint32_t i = 0; i < o->n; i++)
			say_part(&body, h, &o->part[i]);
	} else if (o->kind == ASK_PUT) {
		say(m, "PUT /kv/%s HTTP/1.1\r\nHost: x\r\n", key_names[p->name]);
		say_condition(m, h, p);
		if (p->ttl)
			say(m, "PST-TTL: %u\r\n", p->ttl);
		say_value(&body, p->id);
	} else {
		say(m, "POST /log/%s", stream_names[p->name]);
		if (p->condition)
			say(m, "?expect=%u", p->expected);
		say(m, " HTTP/1.1\r\nHost: x\r\n");
		say_value(&body, p->id);
	}
	if (o->retry)
		say(m, "Idempotency-Key: retry-%u\r\n", o->retry);
	say_body(m, r, &body);
}

static void say_ask(struct message *m, struct sim_random *r, const struct http_history *h,
		    const struct ask *o)
{
	const struct ask_part *p = &o->part[0];
	const char *verb = o->head ? "HEAD" : "GET";

	m->n = 0;
	switch ((enum ask_kind)o->kind) {
	case ASK_PUT:
	case ASK_APPEND:
	case ASK_BATCH:
		say_changes(m, r, h, o);
		return;
	case ASK_DELETE:
	case ASK_GET:
		say(m, "%s /kv/%s HTTP/1.1\r\nHost: x\r\n", o->kind == ASK_DELETE ? "DELETE" : verb,
		    key_names[p->name]);
		say_condition(m, h, p);
		if (o->piece)
			say(m, "Range: bytes=%u-%u\r\n", o->from, o->from + o->piece - 1);
		break;
	case ASK_ENTRY:
		say(m, "GET /log/%s/%u HTTP/1.1\r\nHost: x\r\n", stream_names[p->name], o->from);
		break;
	case ASK_ENTRIES:
		say(m, "%s /log/%s?from=%u", verb, stream_names[p->name], o->from);
		if (o->limited)
			say(m, "&limit=%u", o->limit);
		if (o->follows)
			say(m, "&follow=1");
		say(m, " HTTP/1.1\r\nHost: x\r\n");
		break;
	case ASK_TRIM:
		say(m, "DELETE /log/%s?before=%u HTTP/1.1\r\nHost: x\r\n", stream_names[p->name], o->from);
		break;
	case ASK_KEYS:
	case ASK_DELETE_PREFIX:
		say(m, "%s /kv", o->kind == ASK_KEYS ? "GET" : "DELETE");
		say_query(m, o);
		say(m, " HTTP/1.1\r\nHost: x\r\n");
		break;
	case ASK_STREAMS:
		say(m, "GET /log HTTP/1.1\r\nHost: x\r\n");
		break;
	case ASK_TIME:
	case ASK_KINDS:
		break;
	}
	say(m, "\r\n");
}

/* ------------------------------------------------------------------ what to ask for */

static uint16_t known_version(struct http_clients *c, const struct http_history *h, uint32_t key)
{
	for (uint16_t id = h->ids; id; id--)
		if (h->version[id] && h->key_of[id] == key && !sim_chance(&c->random, 3))
			return id;
	return 0;
}

static uint32_t likely_next(const struct http_history *h, uint32_t stream)
{
	for (int32_t i = h->n - 1; i >= 0; i--)
		for (uint32_t j = 0; j < h->asks[i].n; j++)
			if (h->asks[i].part[j].sequence && h->asks[i].part[j].name == stream &&
			    h->asks[i].part[j].type == ASK_APPEND)
				return h->asks[i].part[j].sequence + 1;
	return 1;
}

static void draw_condition(struct http_clients *c, const struct http_history *h, struct ask_part *p)
{
	if (!sim_chance(&c->random, 3))
		return;
	if (p->type == ASK_APPEND) {
		p->condition = COND_NEXT;
		p->expected = likely_next(h, p->name) + (uint32_t)sim_chance(&c->random, 6);
		return;
	}
	p->condition = (uint8_t)sim_between(&c->random, COND_PRESENT,
					    p->type == ASK_PUT ? COND_NOT_VERSION : COND_VERSION);
	if (p->type == ASK_DELETE && p->condition == COND_ABSENT)
		p->condition = COND_PRESENT;
	if (p->condition >= COND_VERSION && !(p->expected = known_version(c, h, p->name)))
		p->condition = COND_NONE;
}

static void draw_part(struct http_clients *c, struct http_history *h, struct ask_part *p, uint8_t type)
{
	p->type = type;
	p->name = (uint8_t)sim_below(&c->random, type == ASK_APPEND ? STREAMS : KEYS);
	if (type != ASK_DELETE) {
		p->id = ++h->ids;
		h->key_of[p->id] = type == ASK_PUT ? p->name : KEYS + p->name;
	}
	if (type == ASK_PUT && sim_chance(&c->random, 5))
		p->ttl = (uint32_t)sim_between(&c->random, 1, 4);
	draw_condition(c, h, p);
}

static void draw_batch(struct http_clients *c, struct http_history *h, struct ask *o)
{
	static const uint8_t types[] = {ASK_PUT, ASK_PUT, ASK_DELETE, ASK_APPEND};
	uint32_t n = (uint32_t)sim_between(&c->random, 2, PARTS_MAX);

	for (uint32_t i = 0; i < n; i++) {
		struct ask_part *p = &o->part[o->n];
		bool twice = false;

		*p = (struct ask_part){0};
		draw_part(c, h, p, types[sim_below(&c->random, 4)]);
		for (uint32_t j = 0; j < o->n; j++)
			twice |= p->type != ASK_APPEND && o->part[j].type != ASK_APPEND &&
				 o->part[j].name == p->name;
		o->n += !twice;
	}
}

static void draw_retry(struct http_clients *c, struct http_history *h, struct ask *o)
{
	if (h->retries < RETRIES_MAX && sim_chance(&c->random, 4))
		o->retry = ++h->retries;
}

static void draw_reading(struct http_clients *c, const struct http_history *h, struct ask *o)
{
	struct ask_part *p = &o->part[0];
	struct sim_random *r = &c->random;

	o->n = 1;
	switch (o->kind) {
	case ASK_GET:
		p->name = (uint8_t)sim_below(r, KEYS);
		o->head = sim_chance(r, 6);
		if (sim_chance(r, 4) && (p->expected = known_version(c, h, p->name))) {
			p->condition = sim_chance(r, 3) ? COND_VERSION : COND_NOT_VERSION;
		} else if (!o->head && sim_chance(r, 5)) {
			o->piece = (uint8_t)sim_between(r, 1, PIECE_MAX);
			o->from = (uint32_t)sim_below(r, 1000);
		}
		break;
	case ASK_ENTRY:
	case ASK_TRIM:
	case ASK_ENTRIES:
		p->name = (uint8_t)sim_below(r, STREAMS);
		o->from = (uint32_t)sim_below(r, likely_next(h, p->name) + 1) + 1;
		if (o->kind != ASK_ENTRIES)
			break;
		o->head = sim_chance(r, 6);
		o->follows = !o->head && sim_chance(r, 2);
		o->limited = sim_chance(r, 3);
		break;
	case ASK_KEYS:
		o->after = sim_chance(r, 3) ? (int8_t)sim_below(r, KEYS) : -1;
		o->limited = sim_chance(r, 2);
		o->prefix = (int8_t)((int)sim_below(r, 3) - 1);
		break;
	case ASK_DELETE_PREFIX:
		o->prefix = (int8_t)((int)sim_below(r, 3) - 1);
		break;
	default:
		break;
	}
	if (o->limited)
		o->limit = (uint32_t)sim_between(r, 1, 5);
}

static void draw_ask(struct http_clients *c, struct http_history *h, struct ask *o)
{
	/* Of 64. */
	static const struct {
		uint8_t kind, share;
	} shares[] = {{ASK_PUT, 14},    {ASK_DELETE, 6},        {ASK_GET, 12}, {ASK_APPEND, 8},
		      {ASK_ENTRY, 4},   {ASK_ENTRIES, 6},       {ASK_TRIM, 2}, {ASK_KEYS, 4},
		      {ASK_STREAMS, 1}, {ASK_DELETE_PREFIX, 1}, {ASK_BATCH, 6}};
	uint32_t draw = (uint32_t)sim_below(&c->random, 64), i = 0;

	while (draw >= shares[i].share)
		draw -= shares[i++].share;
	o->kind = shares[i].kind;
	if (o->kind == ASK_BATCH) {
		draw_batch(c, h, o);
		draw_retry(c, h, o);
	} else if (o->kind == ASK_PUT || o->kind == ASK_DELETE || o->kind == ASK_APPEND) {
		o->n = 1;
		draw_part(c, h, &o->part[0], o->kind);
		if (o->kind != ASK_DELETE)
			draw_retry(c, h, o);
		if (o->retry && o->part[0].condition == COND_NOT_VERSION)
			o->part[0].condition = COND_NONE;
	} else {
		draw_reading(c, h, o);
	}
}

static struct ask *new_ask(struct http_history *h, uint32_t client)
{
	struct ask *o = &h->asks[h->n];

	assert(h->n < ASKS_MAX);
	*o = (struct ask){.client = (uint8_t)client,
			  .before = -1,
			  .begins = h->clock,
			  .ends = INT32_MAX,
			  .open = true,
			  .prefix = -1,
			  .after = -1};
	return o;
}

static void send_ask(struct http_clients *c, struct http_history *h, uint32_t i)
{
	static struct message m;
	struct ask *o = &h->asks[h->n];

	o->before = c->last[i];
	c->last[i] = (int16_t)h->n;
	c->client[i].asked[c->client[i].n++] = h->n++;
	say_ask(&m, &c->random, h, o);
	c->client[i].line.by->send(c->client[i].line.conn, m.at, m.n);
}

/* The same request again, from a client that never heard what came of it. */
static void draw_again(struct http_clients *c, struct http_history *h, struct ask *o)
{
	const struct ask *was = &h->asks[c->lost[--c->lost_n]];
	struct ask fresh = *o;

	fresh.kind = was->kind;
	fresh.n = was->n;
	fresh.retry = was->retry;
	for (uint32_t i = 0; i < was->n; i++) {
		fresh.part[i] = was->part[i];
		fresh.part[i].existed = fresh.part[i].failed = false;
		fresh.part[i].sequence = 0;
	}
	*o = fresh;
}

static void note_lost(struct http_clients *c, const struct http_history *h, int32_t i)
{
	if (h->asks[i].retry && c->lost_n < sizeof(c->lost) / sizeof(c->lost[0]))
		c->lost[c->lost_n++] = i;
}

/* Its connection is no more: what was not done is not done any more. */
static void end_client(struct http_clients *c, struct http_history *h, struct http_client *client)
{
	for (uint32_t j = 0; j < client->n; j++) {
		h->asks[client->asked[j]].ends = h->clock;
		note_lost(c, h, client->asked[j]);
	}
	*client = (struct http_client){0};
}

static void look_at_gone(struct http_clients *c, struct http_history *h, bool all)
{
	for (uint32_t i = c->gone_n; i-- > 0;) {
		if (!all && !c->gone[i].line.by->is_over(c->gone[i].line.conn))
			continue;
		end_client(c, h, &c->gone[i]);
		c->gone[i] = c->gone[--c->gone_n];
	}
}

static void hang_up(struct http_clients *c, uint32_t i)
{
	c->client[i].line.by->reset(c->client[i].line.conn);
	c->gone[c->gone_n++] = c->client[i];
	c->client[i] = (struct http_client){0};
	c->last[i] = -1;
}

static struct http_line connect_to(struct http_world *w)
{
	return (struct http_line){w->options.transport, http_world_connect(w)};
}

/* Its connection ends, or it takes its replies or does not. */
static void be_moody(struct http_clients *c, struct http_history *h, uint32_t i)
{
	struct http_client *client = &c->client[i];
	struct http_line *line = &client->line;

	if (line->conn && line->by->is_over(line->conn))
		end_client(c, h, client), c->last[i] = -1;
	if (line->conn && c->gone_n < DYING_MAX && (line->by->is_lost(line->conn) || sim_chance(&c->random, 60)))
		hang_up(c, i);
	if (line->conn && sim_chance(&c->random, 30))
		line->by->takes(line->conn, sim_chance(&c->random, 2));
}

void http_clients_ask(struct http_clients *c, struct http_history *h, struct http_world *w)
{
	h->clock++;
	for (uint32_t i = 0; i < c->n; i++) {
		struct http_client *client = &c->client[i];

		be_moody(c, h, i);
		if (h->n >= ASKS_DRAWN || h->ids + PARTS_MAX + 1 >= IDS_MAX)
			continue;
		if (!client->line.conn)
			client->line = connect_to(w);
		if (client->n == PIPELINE || !sim_chance(&c->random, client->n + 2))
			continue;
		struct ask *o = new_ask(h, i);
		if (c->lost_n && sim_chance(&c->random, 3))
			draw_again(c, h, o);
		else
			draw_ask(c, h, o);
		send_ask(c, h, i);
	}
}

void http_clients_read_all(struct http_clients *c, struct http_history *h, struct http_world *w)
{
	struct http_client *client = &c->client[0];

	h->clock++;
	client->line = connect_to(w);
	for (uint32_t i = 0; i < KEYS + STREAMS + 2; i++) {
		struct ask *o = new_ask(h, 0);

		o->n = 1;
		o->kind = i < KEYS              ? ASK_GET
			  : i < KEYS + STREAMS  ? ASK_ENTRIES
			  : i == KEYS + STREAMS ? ASK_KEYS
						: ASK_STREAMS;
		o->part[0].name = (uint8_t)(i < KEYS ? i : i < KEYS + STREAMS ? i - KEYS : 0);
		o->from = o->kind == ASK_ENTRIES;
		send_ask(c, h, 0);
		for (uint32_t n = 0; client->n && n < 1000 * w->options.transport->turns && !c->broken; n++) {
			http_world_turn(w);
			h->clock++;
			http_clients_hear(c, h);
		}
		if (client->n)
			broken(c, &h->asks[client->asked[0]], "no answer comes");
		h->clock++;
	}
	client->line.by->end(client->line.conn);
	*client = (struct http_client){0};
	c->last[0] = -1;
}

/* ------------------------------------------------------------------ replies */

struct heard {
	int status;
	uint64_t version;
	uint32_t first, next, length;
	bool repeated, chunked, has_length;
	const char *body;
	size_t body_length;
};

static const char *field(const char *head, const char *end, const char *name)
{
	const char *at = memmem(head, (size_t)(end - head), name, strlen(name));

	return at ? at + strlen(name) : NULL;
}

static uint32_t number(const char *head, const char *end, const char *name)
{
	const char *at = field(head, end, name);

	return at ? (uint32_t)strtoul(at, NULL, 10) : 0;
}

/* The length of a chunked body as it stands there, whose bytes go to `to`; 0: it is not whole. */
static size_t unchunk(const char *at, size_t n, char *to, size_t *length)
{
	const char *begin = at, *end = at + n;

	*length = 0;
	for (;;) {
		const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
		size_t size = line ? strtoul(at, NULL, 16) : 0;

		if (!line || (size_t)(end - line) < size + 4)
			return 0;
		memcpy(to + *length, line + 2, size);
		*length += size;
		at = line + 2 + size + 2;
		if (!size)
			return (size_t)(at - begin);
	}
}

/* Bytes of the first reply, 0 if it is not whole. */
static size_t hear_one(const char *at, size_t n, bool head, struct heard *heard)
{
	static char body[1 << 20];
	const char *end = memmem(at, n, "\r\n\r\n", 4), *tag;

	if (!end)
		return 0;
	end += 4;
	*heard = (struct heard){.status = atoi(at + 9), .body = end};
	if (heard->status < 200)
		return (size_t)(end - at);
	if ((tag = field(at, end, "\r\nETag: \"")))
		heard->version = strtoull(tag, NULL, 16);
	heard->first = number(at, end, "\r\nPST-First: ");
	heard->next = number(at, end, "\r\nPST-Next: ");
	heard->repeated = field(at, end, "\r\nPST-Repeated: true\r\n");
	heard->length = number(at, end, "\r\nContent-Length: ");
	if (head || heard->status == 204 || heard->status == 304)
		return (size_t)(end - at);
	if (field(at, end, "\r\nTransfer-Encoding: chunked\r\n")) {
		assert(n < sizeof(body));
		size_t used = unchunk(end, n - (size_t)(end - at), body, &heard->body_length);

		heard->body = body;
		return used ? (size_t)(end - at) + used : 0;
	}
	heard->body_length = heard->length;
	return n - (size_t)(end - at) >= heard->length ? (size_t)(end - at) + heard->length : 0;
}

static void learn(struct http_clients *c, struct http_history *h, const struct ask *o, uint16_t id,
		  uint64_t version)
{
	if (!id || !version)
		return;
	if (h->version[id] && h->version[id] != version)
		broken(c, o, "a value has two versions");
	h->version[id] = version;
}

static uint16_t hear_value(struct http_clients *c, const struct ask *o, const char *bytes, size_t n)
{
	uint8_t expected[5000];
	uint16_t id = value_id((const uint8_t *)bytes, n);

	if (!id || value_length(id) != n) {
		broken(c, o, "a value has a length that nobody wrote");
		return 0;
	}
	value_fill(id, expected);
	if (memcmp(bytes, expected, n))
		broken(c, o, "a value has bytes that nobody wrote");
	return id;
}

static void hear_get(struct http_clients *c, struct http_history *h, struct ask *o, const struct heard *heard)
{
	o->length = heard->length;
	if (heard->status == 206) {
		if (heard->body_length > PIECE_MAX)
			broken(c, o, "more than was asked for");
		else
			memcpy(o->bytes, heard->body, heard->body_length);
	} else if (heard->status == 200 && !o->head) {
		o->id = hear_value(c, o, heard->body, heard->body_length);
		learn(c, h, o, o->id, heard->version);
	}
}

static void hear_entries(struct http_clients *c, struct ask *o, const struct heard *heard)
{
	const char *at = heard->body, *end = at + heard->body_length;

	while (at < end) {
		char *stop;
		uint32_t sequence = (uint32_t)strtoul(at, &stop, 10),
			 length = (uint32_t)strtoul(stop, &stop, 10);

		if (*stop != '\n' || stop + 1 + length > end || o->count == ENTRIES_MAX) {
			broken(c, o, "a range of entries is cut");
			return;
		}
		if (!o->count)
			o->first_seen = sequence;
		if (sequence != o->first_seen + o->count)
			broken(c, o, "an entry is missing in a range");
		o->ids[o->count++] = hear_value(c, o, stop + 1, length);
		at = stop + 1 + length;
	}
}

/* Numbers behind names in JSON, which the service writes in one way. */
static uint64_t json_number(const char *line, const char *end, const char *name, int base)
{
	const char *at = field(line, end, name);

	return at ? strtoull(at, NULL, base) : 0;
}

static void hear_list(struct http_clients *c, struct http_history *h, struct ask *o,
		      const struct heard *heard)
{
	bool keys = o->kind == ASK_KEYS;
	const char *const *names = keys ? key_names : stream_names;
	const char *at = heard->body, *end = at + heard->body_length, *line;

	o->more = !field(at, end, "\"next\":null}\n");
	while (
	    (line = memmem(at, (size_t)(end - at), keys ? "{\"key\":\"" : "{\"stream\":\"", keys ? 8 : 11))) {
		const char *name = line + (keys ? 8 : 11), *stop = memchr(line, '}', (size_t)(end - line));
		uint32_t i = 0;

		while (i < (keys ? KEYS : STREAMS) && strncmp(name, names[i], strlen(names[i])))
			i++;
		if (!stop || i == (keys ? KEYS : STREAMS) || o->count == KEYS) {
			broken(c, o, "a list has a name that nobody wrote");
			return;
		}
		o->listed[o->count] = (uint8_t)i;
		o->versions[o->count] = keys ? json_number(line, stop, "\"version\":\"", 16)
					     : json_number(line, stop, "\"next\":", 10);
		o->lengths[o->count++] =
		    (uint32_t)json_number(line, stop, keys ? "\"length\":" : "\"first\":", 10);
		at = stop;
	}
}

static void hear_batch(struct http_clients *c, struct http_history *h, struct ask *o,
		       const struct heard *heard)
{
	const char *at = heard->body, *end = at + heard->body_length;

	at = field(at, end, heard->status == 200 ? "\"results\":[" : "\"failed\":[");
	for (uint32_t i = 0; at && i < o->n && (at = memchr(at, '{', (size_t)(end - at))); i++) {
		const char *stop = memchr(at, '}', (size_t)(end - at));
		struct ask_part *p = &o->part[i];

		if (!stop)
			break;
		if (heard->status == 412) {
			uint64_t change = json_number(at, stop, "\"change\":", 10);

			if (change < o->n)
				o->part[change].failed = true;
		} else if (p->type == ASK_APPEND) {
			p->sequence = (uint32_t)json_number(at, stop, "\"seq\":", 10);
		} else {
			p->existed = field(at, stop, "\"existed\":true");
			if (p->type == ASK_PUT)
				learn(c, h, o, p->id, json_number(at, stop, "\"version\":\"", 16));
		}
		at = stop;
	}
}

static void hear_answer(struct http_clients *c, struct http_history *h, struct ask *o,
			const struct heard *heard)
{
	struct ask_part *p = &o->part[0];
	const char *end = heard->body + heard->body_length;

	o->status = heard->status;
	o->repeated = heard->repeated;
	o->version = heard->version;
	o->first = heard->first;
	o->next = heard->next;
	switch ((enum ask_kind)o->kind) {
	case ASK_PUT:
		p->existed = heard->status == 204;
		if (heard->status < 300)
			learn(c, h, o, p->id, heard->version);
		break;
	case ASK_DELETE:
		p->existed = heard->status == 204;
		break;
	case ASK_GET:
		hear_get(c, h, o, heard);
		break;
	case ASK_APPEND:
		p->sequence = (uint32_t)json_number(heard->body, end, "{\"seq\":", 10);
		break;
	case ASK_ENTRY:
		if (heard->status == 200)
			o->id = hear_value(c, o, heard->body, heard->body_length);
		break;
	case ASK_ENTRIES:
		if (heard->status == 200 && !o->head)
			hear_entries(c, o, heard);
		break;
	case ASK_KEYS:
	case ASK_STREAMS:
		if (heard->status == 200)
			hear_list(c, h, o, heard);
		break;
	case ASK_DELETE_PREFIX:
		o->count = (uint32_t)json_number(heard->body, end, "{\"deleted\":", 10);
		break;
	case ASK_BATCH:
		hear_batch(c, h, o, heard);
		break;
	case ASK_TRIM:
	case ASK_TIME:
	case ASK_KINDS:
		break;
	}
}

/* A failed medium leaves changes in doubt, whatever it says. */
static bool is_in_doubt(const struct heard *heard)
{
	return heard->status == 503 && memmem(heard->body, heard->body_length, "medium", 6);
}

static void hear_client(struct http_clients *c, struct http_history *h, uint32_t i)
{
	struct http_client *client = &c->client[i];
	size_t n;
	const char *got = client->line.by->got(client->line.conn, &n);

	while (client->n && n > client->parsed) {
		struct ask *o = &h->asks[client->asked[0]];
		struct heard heard;
		size_t used = hear_one(got + client->parsed, n - client->parsed, o->head, &heard);

		if (!used)
			return;
		client->parsed += used;
		if (heard.status < 200)
			continue;
		if (heard.status == 400 || heard.status == 500 || heard.status == 413)
			o->status = heard.status, broken(c, o, "an answer that there is no reason for");
		if (!is_in_doubt(&heard)) {
			o->open = false;
			o->ends = h->clock;
			hear_answer(c, h, o, &heard);
		}
		memmove(client->asked, client->asked + 1, --client->n * sizeof(client->asked[0]));
	}
}

void http_clients_hear(struct http_clients *c, struct http_history *h)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->client[i].line.conn)
			hear_client(c, h, i);
	look_at_gone(c, h, false);
}

void http_clients_end(struct http_clients *c, struct http_history *h)
{
	h->clock++;
	for (uint32_t i = 0; i < c->n; i++)
		end_client(c, h, &c->client[i]), c->last[i] = -1;
	look_at_gone(c, h, true);
	for (int32_t i = 0; i < h->n; i++)
		if (h->asks[i].ends == INT32_MAX)
			h->asks[i].ends = h->clock;
	h->clock++;
}

void http_coverage_add(struct http_coverage *c, const struct http_history *h)
{
	for (int32_t i = 0; i < h->n; i++) {
		const struct ask *o = &h->asks[i];

		c->by_kind[o->kind] += !o->open;
		c->answered += !o->open;
		c->open += o->open;
		c->refused += o->status == 507 || o->status == 503;
		c->repeated += o->repeated;
		c->failed_conditions += o->status == 412;
		c->absent += o->status == 404;
		c->unchanged += o->status == 304;
		c->pieces += o->status == 206;
		c->followed += o->follows && !o->open;
	}
}
