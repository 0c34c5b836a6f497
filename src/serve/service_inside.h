/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service_inside.h - what the files of the service share.
 *
 *	service.c     the turn: events in, commit, durable replies out; opening, draining, closing
 *	connection.c  from received slices to requests; back-pressure
 *	body.c        bodies that arrive in several slices
 *	execute.c     a request on the store
 *	answer.c      the queue of replies of a connection
 *	metrics.c     GET /metrics
 */
#ifndef SERVE_SERVICE_INSIDE_H
#define SERVE_SERVICE_INSIDE_H

#include "base/link.h"
#include "serve/chunk.h"
#include "serve/http_parse.h"
#include "serve/reply.h"
#include "serve/route.h"
#include "serve/rounds.h"
#include "serve/service.h"

#define PIPELINE_MAX 128         /* replies that may wait before we stop to read requests */
#define DRAIN_MAX (64 * 1024)    /* bytes of a refused body that are read to keep the connection */
#define CHUNKED_STEP (64 * 1024) /* bytes of a body of unknown length that are let in at a time */
#define ROOM_WAIT_US 2000000     /* a body waits so long for room, see body.c */
#define STARVED_FAIL_US 1000000  /* bodies make no progress for want of buffers: one is given up */

enum connection_state {
	READ_HEAD,
	READ_BODY,
	WAIT_ROOM,    /* for the body; nothing is read */
	SKIP_BODY,    /* of a request that is answered already */
	READ_NOTHING, /* the last reply is queued: drop what comes */
};

struct unread {
	struct unread *next;
	struct paste_ref slice; /* with a user count */
};

struct connection {
	struct paste_conn *conn;      /* NULL: closed in this batch */
	struct connection *free_next; /* in service.dropped or .free_connections */
	struct link link;             /* in service.all */
	struct link turn_link;        /* in service.fresh or .waiting */
	struct link body_link;        /* in service.bodies or .rooms */

	struct reply *replies, *last_reply;  /* unsent, in the order of requests */
	struct unread *unread, *last_unread; /* received, not looked at: back-pressure */
	uint32_t pending;                    /* replies */
	uint8_t state;
	bool blocked : 1; /* the stack takes no more for the moment */
	bool paused : 1;
	bool eof : 1;
	bool wants_continue : 1; /* 100 is due when the body is let in */
	bool chunked : 1;        /* the body under way: `chunk` says where it ends */

	/* A head that arrived in pieces. */
	char *gathered;
	uint32_t gathered_length, gathered_room;
	struct http_scan scan;

	/* A body that arrives in several slices. */
	struct request *request;
	struct paste_body body;
	struct chunk_scan chunk;
	uint64_t body_left; /* let in (of a body to skip: to be read at most) and not arrived */
	int64_t since;      /* WAIT_ROOM: when it began */
};

struct service {
	struct paste_stack *stack;
	struct paste_store *store;
	struct paste_region *region;
	uint64_t max_body;
	void (*more_metrics)(void *arg, FILE *out);
	void *more_arg;
	struct service_time now;
	struct reply_date date;

	struct link all;            /* connections */
	struct link bodies;         /* that are in READ_BODY, oldest first */
	struct link rooms;          /* that are in WAIT_ROOM */
	struct link fresh;          /* with replies to look at in this turn */
	struct link waiting;        /* whose first reply waits for a round */
	struct connection *dropped; /* in this batch: events of it may still name them; free at its end */
	struct connection *free_connections;
	struct connection_slab *connection_slabs;
	struct unread *free_unread;
	struct unread_slab *unread_slabs;
	struct free_request *free_requests;
	struct reply_pool replies;
	struct paste_send *sends; /* grows to the largest reply's number of pieces */
	uint32_t sends_room;
	struct paste_ref *cut; /* slices of which only a range is sent */
	uint32_t cut_room;

	struct rounds *rounds, own_rounds;
	uint64_t seen_durable; /* replies that waited for it were looked at; the same of the failure */
	int seen_error;
	uint64_t arriving;        /* bytes of bodies that were let in and have not arrived */
	int64_t body_progress_at; /* monotonic us */
	bool draining;

	struct request current; /* being worked on */
	struct service_stats stats;
};

/* connection.c */
struct connection *connection_new(struct service *s, struct paste_conn *conn);
void connection_receive(struct service *s, struct connection *c, struct paste_ref slice);
void connection_eof(struct service *s, struct connection *c);
void connection_stop(struct service *s, struct connection *c);             /* read nothing any more */
void connection_drop(struct service *s, struct connection *c, bool reset); /* freed at the end of the turn */
/* Work on what is unread, if nothing stands against it any more. */
void connection_go_on(struct service *s, struct connection *c);
/* Queue a refusal of a request whose body has not been looked at. */
void connection_refuse(struct service *s, struct connection *c, const struct http_request *http, int status,
		       const char *text);
void connection_free_dropped(struct service *s);
bool connection_is_idle(const struct connection *c);
void connection_pools_close(struct service *s);

/* Go n bytes forward. The slice owns a user count on each buffer that it touches; those left behind are put,
 * a slice of length 0 owns none. */
void slice_advance(struct service *s, struct paste_ref *slice, uint32_t n);

/* body.c */
/* The current request's body, which is not all here. `has_begun`: something of it is. */
void body_begin(struct service *s, struct connection *c, const struct http_request *http, bool has_begun);
void body_read(struct service *s, struct connection *c, struct paste_ref *rest);
/* Read over the body of a request that is answered already, of which nothing was looked at. */
void body_skip(struct connection *c, const struct http_request *http);
void body_skip_read(struct service *s, struct connection *c, struct paste_ref *rest);
/* Slices and request go; what has not arrived stays in body_left. */
void body_free(struct service *s, struct connection *c);
void body_check_rooms(struct service *s);   /* let in those that there is room for now */
void body_check_starved(struct service *s); /* give one up if nothing moves */
void body_pool_close(struct service *s);

/* execute.c: do it, queue the reply. The caller keeps its user counts on the slices. */
void execute(struct service *s, struct connection *c, const struct request *r, const struct paste_ref *slices,
	     uint32_t n);

/* answer.c */
/* A new last reply of the connection; NULL: out of memory, the connection is dropped. `close` makes it the
 * last. */
struct reply *answer_new(struct service *s, struct connection *c, uint16_t status, uint64_t round,
			 bool close);
void answer_text(struct service *s, struct connection *c, uint16_t status, const char *text, uint64_t round,
		 bool close);
void answer_value(struct service *s, struct connection *c, const struct request *r,
		  struct paste_value *value);
void answer_drop_all(struct service *s, struct connection *c);
/* Send what may leave. */
void answer_flush(struct service *s, struct connection *c);
void answer_list(struct service *s, struct connection *c); /* look at it in this turn */

/* metrics.c: the text, on the heap; NULL if out of memory. */
char *metrics_text(struct service *s, size_t *length);

/* Bytes of the largest body that can be stored. */
static inline uint64_t service_body_max(const struct service *s)
{
	uint64_t value = paste_store_value_max(s->store);

	return value < s->max_body ? value : s->max_body;
}

/* The round that covers every change made so far, for replies computed from all of them. */
static inline uint64_t service_round(const struct service *s)
{
	return s->rounds->open;
}

static inline void service_saw_round(struct service *s, uint64_t round)
{
	rounds_saw(s->rounds, round);
}

#endif
