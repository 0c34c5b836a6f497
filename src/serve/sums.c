/* SPDX-License-Identifier: BSD-2-Clause */
/* sums.c - what all services that share rounds have counted, together. */
#include "serve/service_inside.h"

static const struct service *owner(const struct link *l)
{
	return link_owner(l, struct service, peer_link);
}

void service_stats(const struct service *s, struct service_stats *stats)
{
	const struct link *all = &s->rounds->services;

	*stats = (struct service_stats){0};
	for (const struct link *l = all->next; l != all; l = l->next) {
		const struct service_stats *one = &owner(l)->stats;

		stats->requests += one->requests;
		for (int i = 0; i < 6; i++)
			stats->replies[i] += one->replies[i];
		stats->stalled += one->stalled;
		stats->waited_room += one->waited_room;
		stats->timed_out += one->timed_out;
		for (int i = 0; i < RULES; i++)
			stats->broken[i] += one->broken[i];
		for (int i = 0; i < 2; i++)
			stats->denied[i] += one->denied[i];
		stats->connections += one->connections;
	}
}

void service_stack_stats(const struct service *s, struct paste_stack_stats *stats)
{
	const struct link *all = &s->rounds->services;

	*stats = (struct paste_stack_stats){0};
	for (const struct link *l = all->next; l != all; l = l->next) {
		struct paste_stack_stats one;

		paste_stack_stats(owner(l)->stack, &one);
		stats->accepted += one.accepted;
		stats->closed += one.closed;
		stats->refused += one.refused;
		stats->received_slices += one.received_slices;
		stats->received_bytes += one.received_bytes;
		stats->sent_bytes += one.sent_bytes;
		stats->sends += one.sends;
		stats->starved += one.starved;
		stats->connections += one.connections;
		stats->waiting += one.waiting;
		stats->posted += one.posted;
	}
}

void service_latency(const struct service *s, enum service_kind kind, struct latency *sum)
{
	const struct link *all = &s->rounds->services;

	*sum = (struct latency){0};
	for (const struct link *l = all->next; l != all; l = l->next) {
		const struct latency *one = &owner(l)->latency[kind];

		sum->count += one->count;
		sum->sum_us += one->sum_us;
		for (int i = 0; i < LATENCY_BINS; i++)
			sum->bins[i] += one->bins[i];
	}
}

struct service_share service_share(const struct service *s)
{
	return (struct service_share){s->stats.requests, s->stats.connections};
}
