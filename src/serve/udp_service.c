/* SPDX-License-Identifier: BSD-2-Clause */
#include "serve/udp_service.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/site.h"

#define WAITING_DEFAULT 8192
#define BATCH 64

struct answer {
	struct paste_peer peer;
	uint64_t round;
	uint64_t value; /* as in the answer, host byte order */
};

struct udp_service {
	struct paste_datagrams *datagrams;
	struct rounds *rounds;
	struct answer *answer; /* a ring of `size`, a power of two; first and next run freely */
	uint32_t size, first, next;
	bool draining;
	struct udp_service_stats stats;
	struct paste_datagram batch[BATCH];
	uint16_t name_length;
	char name[];
};

static uint32_t power_of_two_from(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

int udp_service_open(const struct udp_service_options *options, struct udp_service **service,
		     struct paste_error *err)
{
	size_t length = strlen(options->stream);

	if (length < 1 || length > PASTE_KEY_MAX)
		return paste_fail(err, -EINVAL, "a stream's name has 1 to %d bytes, not %zu", PASTE_KEY_MAX,
				  length);
	struct udp_service *u = calloc(1, sizeof(*u) + length);
	uint32_t size = power_of_two_from(options->waiting ? options->waiting : WAITING_DEFAULT);
	if (u)
		u->answer = malloc(size * sizeof(*u->answer));
	if (!u || !u->answer) {
		free(u);
		return paste_fail(err, -ENOMEM, "no memory for the UDP service");
	}
	u->datagrams = options->datagrams;
	u->rounds = options->rounds;
	u->size = size;
	u->name_length = (uint16_t)length;
	memcpy(u->name, options->stream, length);
	*service = u;
	return 0;
}

void udp_service_close(struct udp_service *u)
{
	if (!u)
		return;
	free(u->answer);
	free(u);
}

void udp_service_drain(struct udp_service *u)
{
	u->draining = true;
}

void udp_service_stats(const struct udp_service *u, struct udp_service_stats *stats)
{
	*stats = u->stats;
	stats->waiting = u->next - u->first;
}

static enum udp_refusal refusal(int error)
{
	switch (error) {
	case -ENOSPC:
		return UDP_FULL;
	case -EFBIG:
		return UDP_TOO_LARGE;
	case -EBADMSG:
		return UDP_STREAM_DAMAGED;
	case -ENOMEM:
	case -ENOBUFS:
		return UDP_NO_MEMORY;
	default:
		return UDP_MEDIUM_FAILED;
	}
}

static int append(struct udp_service *u, const struct paste_datagram *d, struct paste_result *result)
{
	if (u->rounds->error)
		return -EIO;
	if (d->cut)
		return -EFBIG;
	return paste_store_append(u->rounds->store, u->name, u->name_length, d->slice, d->n, result);
}

static void keep(struct udp_service *u, const struct paste_datagram *d)
{
	struct answer *a = &u->answer[u->next++ & (u->size - 1)];
	struct paste_result result = {0};
	int rc = append(u, d, &result);

	a->peer = d->peer;
	if (rc == 0) {
		rounds_saw(u->rounds, result.round);
		rounds_appended(u->rounds, u->name, u->name_length);
		a->round = result.round;
		a->value = result.version;
		u->stats.kept++;
		u->stats.kept_bytes += d->length;
	} else {
		/* "Full" may follow from changes that are not durable: it waits for all that was done so far.
		 */
		a->round = u->rounds->open;
		a->value = UDP_REFUSED | refusal(rc);
		u->stats.refused++;
	}
}

int udp_service_take(struct udp_service *u)
{
	uint32_t room = u->size - (u->next - u->first);

	if (u->draining)
		return 0;
	if (room < BATCH && room < u->size) {
		u->stats.paused++;
		return 0;
	}
	int n = paste_datagrams_receive(u->datagrams, u->batch, room < BATCH ? (int)room : BATCH);
	for (int i = 0; i < n; i++)
		keep(u, &u->batch[i]);
	return n;
}

static bool may_leave(const struct udp_service *u, const struct answer *a)
{
	return rounds_is_durable(u->rounds, a->round) || u->rounds->error ||
	       !SITE(udp_answer_waits_for_round);
}

/* What waited for a round that will never be durable was not kept, as far as anybody may know. */
static uint64_t answer_value(const struct udp_service *u, const struct answer *a)
{
	if (!rounds_is_durable(u->rounds, a->round) && u->rounds->error)
		return UDP_REFUSED | UDP_MEDIUM_FAILED;
	return a->value;
}

int udp_service_answer(struct udp_service *u)
{
	uint32_t before = u->first;
	bool blocked = false;

	while (u->first != u->next) {
		const struct answer *a = &u->answer[u->first & (u->size - 1)];
		if (!may_leave(u, a))
			break;
		uint64_t wire = htobe64(answer_value(u, a));
		int rc = paste_datagrams_send(u->datagrams, &a->peer, &wire, sizeof(wire));
		if (rc == -EAGAIN) {
			blocked = true;
			break;
		}
		if (rc == 0)
			u->stats.answered++;
		else
			u->stats.unanswered++;
		u->first++;
	}
	if (u->first == before && !blocked)
		return 0;
	int rc = paste_datagrams_flush(u->datagrams);
	return rc < 0 ? rc : blocked;
}
