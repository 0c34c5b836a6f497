/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - lists whose links stand inside their members. A list's head is a link itself; a link that is in no
 * list points at itself, so that removing it twice does no harm.
 */
#ifndef BASE_LINK_H
#define BASE_LINK_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *previous, *next;
};

static inline void link_init(struct link *l)
{
	l->previous = l->next = l;
}

static inline bool link_empty(const struct link *head)
{
	return head->next == head;
}

static inline void link_append(struct link *head, struct link *l)
{
	l->previous = head->previous;
	l->next = head;
	head->previous->next = l;
	head->previous = l;
}

static inline void link_remove(struct link *l)
{
	l->previous->next = l->next;
	l->next->previous = l->previous;
	link_init(l);
}

/* Move all members of `from` to the end of `to`. */
static inline void link_splice(struct link *to, struct link *from)
{
	if (link_empty(from))
		return;
	from->next->previous = to->previous;
	to->previous->next = from->next;
	from->previous->next = to;
	to->previous = from->previous;
	link_init(from);
}

#define link_owner(l, type, member) ((type *)((char *)(l)-offsetof(type, member)))

#endif
