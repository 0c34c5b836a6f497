/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds: closing one, learning that it is durable, and what was waiting for that. */
#include <assert.h>
#include <errno.h>

#include "base/site.h"
#include "store/store_internal.h"

#define AHEAD 4

int store_fail(struct paste_store *s, int error)
{
	if (!s->error)
		s->error = error;
	return error;
}

bool store_dirty(const struct paste_store *s)
{
	if (s->checkpoint.pages_pending || pack_dirty(s))
		return true;
	for (uint32_t l = 0; l < s->logs; l++) {
		if (log_dirty(&s->log[l]))
			return true;
	}
	return false;
}

int64_t paste_store_commit(struct paste_store *s)
{
	if (s->error)
		return s->error;
	pack_retire(s);
	if (!store_dirty(s))
		return (int64_t)s->round - 1;
	pack_commit(s);
	for (uint32_t l = 0; l < s->logs; l++)
		log_commit(&s->log[l]);
	s->checkpoint.pages_pending = false;
	media_ticket ticket = SITE(commit_fence) ? media_commit(s->r->m) : 1;
	if (ticket < 0)
		return store_fail(s, (int)ticket);
	/* Tickets are cumulative, so with the table full the last round may as well wait for this one's ticket. */
	if (s->round_count == ROUNDS_MAX)
		s->round_count--;
	uint32_t i = (s->round_head + s->round_count++) % ROUNDS_MAX;
	s->rounds[i] = (struct round){s->round, ticket};
	for (uint32_t l = 0; l < s->logs; l++) {
		log_closed(&s->log[l]);
		s->round_log[i * s->logs + l] = (struct round_log){s->log[l].next - 1, s->log[l].stated};
	}
	s->c.rounds++;
	return (int64_t)s->round++;
}

static void release_absent(struct paste_store *s)
{
	struct fifo_item *item;

	while ((item = fifo_first(&s->absent)) && item->until <= s->durable) {
		struct entry *e = item->entry;
		if (!(e->flags & ENTRY_DROPPED))
			tree_remove(&s->keys, entry_key(e), e->key_length);
		entry_free(&s->slab, e);
		fifo_pop(&s->absent);
	}
}

/* What left the index a while ago is in no cache: the entries that come next, and where their buffers are counted. */
static void limbo_ask_ahead(const struct paste_store *s, const struct fifo *f)
{
	if (f->count > 2 * AHEAD)
		__builtin_prefetch(fifo_at(f, 2 * AHEAD)->entry);
	if (f->count > AHEAD) {
		const struct entry *e = fifo_at(f, AHEAD)->entry;
		if (e->refs)
			__builtin_prefetch(&s->r->buffer[e->extent[0].ref.buffer], 1);
	}
}

/* Buffers of entries whose removal no recovery can undo or doubt any more. */
static void release_limbo(struct paste_store *s)
{
	for (uint32_t l = 0; l < s->logs; l++) {
		struct fifo_item *item;
		while ((item = fifo_first(&s->limbo[l])) &&
		       (item->until <= s->log[l].marked || !SITE(reuse_guard))) {
			limbo_ask_ahead(s, &s->limbo[l]);
			value_disown(s, item->entry);
			entry_free(&s->slab, item->entry);
			fifo_pop(&s->limbo[l]);
		}
	}
}

int64_t paste_store_poll(struct paste_store *s)
{
	if (s->error)
		return s->error;
	media_ticket done = media_poll(s->r->m);
	if (done < 0)
		return store_fail(s, (int)done);
	bool progress = false;
	while (s->round_count > 0 && (s->rounds[s->round_head].ticket <= done || !SITE(ticket_wait))) {
		const struct round_log *at = &s->round_log[s->round_head * s->logs];
		for (uint32_t l = 0; l < s->logs; l++)
			log_durable(&s->log[l], at[l].last, at[l].marked);
		s->durable = s->rounds[s->round_head].number;
		s->round_head = (s->round_head + 1) % ROUNDS_MAX;
		s->round_count--;
		progress = true;
	}
	if (progress) {
		release_absent(s);
		release_limbo(s);
	}
	return (int64_t)s->durable;
}

int64_t paste_store_wait(struct paste_store *s, uint64_t round)
{
	for (;;) {
		int64_t durable = paste_store_poll(s);
		if (durable < 0 || (uint64_t)durable >= round)
			return durable;
		if (s->round_count == 0)
			return -EINVAL; /* the round was not closed */
		media_ticket done = media_wait(s->r->m, s->rounds[s->round_head].ticket);
		if (done < 0)
			return store_fail(s, (int)done);
	}
}

int paste_store_wait_fd(const struct paste_store *s)
{
	return s->r->m->wait_fd;
}

bool store_wants_seal(const struct paste_store *s)
{
	for (uint32_t l = 0; l < s->logs; l++) {
		const struct log *log = &s->log[l];
		if (log->changed > log->marked && log->changed <= log->durable)
			return true;
	}
	return false;
}

int store_seal(struct paste_store *s)
{
	for (uint32_t l = 0; l < s->logs; l++) {
		struct log *log = &s->log[l];
		if (log->changed <= log->marked || log->changed > log->durable || log->stated >= log->changed)
			continue;
		int ret = log_write_seal(log);
		if (ret < 0)
			return ret;
	}
	int64_t round = paste_store_commit(s);
	return round < 0 ? (int)round : 0;
}
