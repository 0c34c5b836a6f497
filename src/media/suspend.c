/* SPDX-License-Identifier: BSD-2-Clause */
/* suspend.c - a medium that makes nothing durable, for who measures what that costs. */
#include "media/media.h"

#include <assert.h>
#include <stddef.h>

static void nothing_written_back(struct media *m, uint64_t offset, uint64_t bytes)
{
	assert(offset <= m->length && bytes <= m->length - offset && !m->read_only);
}

static media_ticket commit_at_once(struct media *m)
{
	return ++m->suspended.ticket;
}

static media_ticket poll_at_once(struct media *m)
{
	return m->suspended.ticket;
}

static media_ticket wait_at_once(struct media *m, media_ticket ticket)
{
	return m->suspended.ticket;
}

static void close_suspended(struct media *m)
{
	m->suspended.ops->close(m);
}

static const struct media_ops suspended_ops = {nothing_written_back, commit_at_once, poll_at_once,
					       wait_at_once, close_suspended};

void media_suspend(struct media *m)
{
	assert(!m->suspended.ops && !m->read_only);
	m->suspended.ops = m->ops;
	m->suspended.ticket = media_poll(m);
	m->suspended.wait_fd = m->wait_fd;
	m->suspended.survives = m->survives;
	m->ops = &suspended_ops;
	m->wait_fd = -1;
	m->survives = "nothing for certain: nothing is made durable (--no-persist)";
}

void media_resume(struct media *m)
{
	assert(m->suspended.ops);
	m->ops = m->suspended.ops;
	m->wait_fd = m->suspended.wait_fd;
	m->survives = m->suspended.survives;
	m->suspended.ops = NULL;
}
