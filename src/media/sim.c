/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/sim_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "media/sim_block.h"

static const char *const kind_names[SIM_KINDS] = {"adr", "eadr", "shm", "file"};

const char *sim_kind_name(enum sim_kind kind)
{
	return kind_names[kind];
}

int sim_kind_parse(const char *name, enum sim_kind *kind)
{
	for (int i = 0; i < SIM_KINDS; i++) {
		if (strcmp(name, kind_names[i]) == 0) {
			*kind = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *sim_event_name(enum sim_event event)
{
	static const char *const names[] = {
	    [SIM_BEFORE_WRITE_BACK] = "before write-back",
	    [SIM_AFTER_WRITE_BACK] = "after write-back",
	    [SIM_BEFORE_COMMIT] = "before commit",
	    [SIM_AFTER_COMMIT] = "after commit",
	    [SIM_POLL] = "after poll",
	    [SIM_WAIT] = "after wait",
	    [SIM_VISIBLE] = "after replies left",
	};
	return names[event];
}

static void crash_here(struct sim *s, enum sim_event event)
{
	if (s->hook)
		s->hook(s->hook_arg, &s->m, event);
}

static void *need(void *memory)
{
	if (!memory)
		abort(); /* a test machine without memory has nothing to say about crashes */
	return memory;
}

/* The floor and the bookkeeping of write-backs exist only where something can be lost. */
static bool may_lose(const struct sim *s)
{
	return s->floor != NULL;
}

static size_t slots_size(const struct sim *s)
{
	return s->m.length / s->m.unit * sizeof(*s->slot);
}

static struct sim_group *group_new(void)
{
	return need(calloc(1, sizeof(struct sim_group)));
}

static void group_free(struct sim_group *g)
{
	free(g->unit);
	free(g->content);
	free(g);
}

/* Note the unit's content as of now; written back twice before the commit, the later content counts. */
static void group_capture(struct sim *s, uint32_t unit)
{
	struct sim_group *g = s->open;
	uint32_t size = s->m.unit;
	uint32_t place = s->slot[unit];

	if (place == 0) {
		if (g->n == g->room) {
			g->room = g->room ? 2 * g->room : 64;
			g->unit = need(realloc(g->unit, g->room * sizeof(*g->unit)));
			g->content = need(realloc(g->content, (size_t)g->room * size));
		}
		g->unit[g->n] = unit;
		place = s->slot[unit] = ++g->n;
	}
	memcpy(g->content + (size_t)(place - 1) * size, s->m.base + (uint64_t)unit * size, size);
}

static void sim_write_back(struct media *m, uint64_t offset, uint64_t bytes)
{
	struct sim *s = sim_of(m);

	assert(offset <= m->length && bytes <= m->length - offset);
	assert(!m->read_only);
	if (bytes == 0)
		return;
	crash_here(s, SIM_BEFORE_WRITE_BACK);
	uint32_t first = offset / m->unit, last = (offset + bytes - 1) / m->unit;
	s->written = true;
	m->stats.write_backs++;
	m->stats.units += last - first + 1;
	m->stats.bytes_written += (uint64_t)(last - first + 1) * m->unit;
	if (may_lose(s) && !m->error)
		for (uint32_t unit = first; unit <= last; unit++) {
			/* A lost line is in no cache: there is nothing to write back. */
			if (media_readable(m, (uint64_t)unit * m->unit, m->unit))
				group_capture(s, unit);
		}
	crash_here(s, SIM_AFTER_WRITE_BACK);
}

/* The device read the block from memory some time between submission and completion, perhaps piecemeal. */
static void block_completes(struct sim *s, uint8_t *floor, const uint8_t *captured, const uint8_t *now)
{
	static const uint32_t pieces[] = {4096, 512, 8};
	uint32_t piece = pieces[sim_below(&s->random, 3)];

	for (uint32_t at = 0; at < s->m.unit; at += piece)
		memcpy(floor + at, (sim_draw(&s->random) & 1 ? captured : now) + at, piece);
}

static void group_completes(struct sim *s, const struct sim_group *g)
{
	uint32_t size = s->m.unit;

	for (uint32_t i = 0; i < g->n; i++) {
		const uint8_t *captured = g->content + (size_t)i * size;
		const uint8_t *now = s->m.base + (uint64_t)g->unit[i] * size;
		uint8_t *floor = s->floor + (uint64_t)g->unit[i] * size;

		/* A line changed since is uncertain again in just those words: the floor gets what was
		 * written back. */
		if (s->kind == SIM_FILE && memcmp(captured, now, size) != 0)
			block_completes(s, floor, captured, now);
		else
			memcpy(floor, captured, size);
	}
}

/* Some changed words of one page reach the medium unasked. */
static void evict_some(struct sim *s)
{
	uint64_t page = sim_below(&s->random, s->m.length / 4096) * 4096;

	for (uint64_t at = page; at < page + 4096; at += 8)
		if (memcmp(s->floor + at, s->m.base + at, 8) != 0 && sim_chance(&s->random, 2))
			memcpy(s->floor + at, s->m.base + at, 8);
}

static void complete_until(struct sim *s, media_ticket ticket)
{
	while (s->head && s->head->ticket <= ticket) {
		struct sim_group *g = s->head;

		group_completes(s, g);
		s->done = g->ticket;
		s->head = g->next;
		if (!s->head)
			s->tail = &s->head;
		group_free(g);
	}
}

/* How long a group takes: mostly short, so that work goes on; sometimes long, so that several are under way.
 */
static uint32_t draw_polls(struct sim *s)
{
	return sim_chance(&s->random, 8) ? sim_below(&s->random, 12) : sim_below(&s->random, 3);
}

static void group_begins(struct sim *s)
{
	struct sim_group *g = s->open;

	for (uint32_t i = 0; i < g->n; i++)
		s->slot[g->unit[i]] = 0;
	if (s->kind != SIM_FILE) {
		group_completes(s, g);
		g->n = 0;
		return;
	}
	g->ticket = s->issued;
	g->polls = draw_polls(s);
	*s->tail = g;
	s->tail = &g->next;
	s->open = group_new();
}

static void fail_now(struct sim *s)
{
	s->m.error = s->fail_error;
}

static media_ticket sim_commit(struct media *m)
{
	struct sim *s = sim_of(m);
	uint64_t before = m->stats.write_backs;

	assert(!m->read_only);
	crash_here(s, SIM_BEFORE_COMMIT);
	assert(m->stats.write_backs == before); /* hooks only look */
	if (s->commits_left >= 0 && s->commits_left-- == 0)
		fail_now(s);
	if (m->error)
		return m->error;
	if (!s->written)
		return s->issued;
	s->written = false;
	m->stats.commits++;
	s->issued++;
	if (may_lose(s)) {
		group_begins(s);
		if (s->evict && sim_chance(&s->random, 4))
			evict_some(s);
	}
	if (s->kind != SIM_FILE || !may_lose(s))
		s->done = s->issued;
	media_ticket ticket = s->issued;
	crash_here(s, SIM_AFTER_COMMIT);
	return ticket;
}

static media_ticket sim_poll(struct media *m)
{
	struct sim *s = sim_of(m);

	if (m->error)
		return m->error;
	for (struct sim_group *g = s->head; g; g = g->next)
		g->polls -= g->polls > 0;
	while (s->head && s->head->polls == 0)
		complete_until(s, s->head->ticket);
	crash_here(s, SIM_POLL);
	return s->done;
}

static media_ticket sim_wait(struct media *m, media_ticket ticket)
{
	struct sim *s = sim_of(m);

	if (m->error)
		return m->error;
	assert(ticket <= s->issued);
	complete_until(s, ticket);
	crash_here(s, SIM_WAIT);
	return s->done;
}

static void sim_close(struct media *m)
{
	struct sim *s = sim_of(m);

	if (s->left)
		memcpy(s->left, s->floor ? s->floor : m->base, m->length);
	while (s->head) {
		struct sim_group *g = s->head;
		s->head = g->next;
		group_free(g);
	}
	if (s->open)
		group_free(s->open);
	sim_device_release(m, 0, m->length, false);
	if (m->wait_fd >= 0)
		close(m->wait_fd);
	if (s->own_memory)
		sim_block_put(m->base, m->length);
	sim_block_put(s->floor, m->length);
	sim_block_put((uint8_t *)s->slot, slots_size(s));
	free(s);
}

static const struct media_ops sim_ops = {
    .write_back = sim_write_back,
    .commit = sim_commit,
    .poll = sim_poll,
    .wait = sim_wait,
    .close = sim_close,
};

static void describe(struct media *m, enum sim_kind kind)
{
	m->ops = &sim_ops;
	m->kind = MEDIA_SIM;
	m->unit = kind == SIM_FILE ? 4096 : 64;
	m->instruction = kind == SIM_FILE ? "simulated blocks" : "simulated lines";
	m->survives = kind == SIM_SHM ? "the process dying, not the machine" : "power loss";
	m->backing = "simulated";
}

struct media *sim_open(const struct sim_options *o)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	assert(o->size % 4096 == 0 && o->size > 0);
	describe(&s->m, o->kind);
	s->kind = o->kind;
	s->random = sim_random(o->seed);
	s->evict = o->evict && o->kind == SIM_ADR;
	s->commits_left = -1;
	s->left = o->left;
	s->tail = &s->head;
	s->m.length = o->size;
	s->m.read_only = o->read_only;
	s->own_memory = !o->memory;
	s->m.base = o->memory ? o->memory : sim_block(o->size);
	if (o->image)
		memcpy(s->m.base, o->image, o->size);
	else if (!o->memory)
		memset(s->m.base, 0, o->size);

	bool loses = (o->kind == SIM_ADR || o->kind == SIM_FILE) && !o->forgetful && !o->read_only;
	if (loses) {
		s->floor = sim_block(o->size);
		memcpy(s->floor, o->floor ? o->floor : s->m.base, o->size);
		s->slot = memset(sim_block(slots_size(s)), 0, slots_size(s));
		s->open = group_new();
	}
	/* Tickets of `file` are done later, so there is something to wait on; here it always says "look". */
	s->m.wait_fd = o->kind == SIM_FILE ? eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	return &s->m;
}

void sim_set_hook(struct media *m, sim_hook *hook, void *arg)
{
	sim_of(m)->hook = hook;
	sim_of(m)->hook_arg = arg;
}

void sim_event(struct media *m)
{
	crash_here(sim_of(m), SIM_VISIBLE);
}

void sim_fail(struct media *m, unsigned int commits, int error)
{
	struct sim *s = sim_of(m);

	assert(error < 0);
	s->fail_error = error;
	s->commits_left = commits;
	if (commits == 0)
		fail_now(s);
}

void sim_device_write(struct media *m, uint64_t offset, const void *bytes, uint64_t n)
{
	assert(offset <= m->length && n <= m->length - offset);
	memcpy(m->base + offset, bytes, n);
}

void sim_device_hold(struct media *m, uint64_t offset, const void *bytes, uint64_t n)
{
	struct sim *s = sim_of(m);
	struct sim_held *h = need(malloc(sizeof(*h) + n));

	assert(offset <= m->length && n <= m->length - offset);
	h->offset = offset;
	h->n = n;
	memcpy(h->bytes, bytes, n);
	h->next = s->held;
	s->held = h;
}

void sim_device_release(struct media *m, uint64_t offset, uint64_t n, bool land)
{
	struct sim_held **at = &sim_of(m)->held;

	while (*at) {
		struct sim_held *h = *at;

		if (h->offset < offset || h->offset - offset >= n) {
			at = &h->next;
			continue;
		}
		if (land)
			sim_device_write(m, h->offset, h->bytes, h->n);
		*at = h->next;
		free(h);
	}
}
