/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service_inside.h - what the files of the service share.
 *
 *	service.c     the turn: events in, commit, durable replies out; opening, draining, closing
 *	connection.c  from received slices to requests; back-pressure
 *	body.c        bodies that arrive in several slices
 *	execute.c     a request on the store
 *	conditions.c  If-Match and If-None-Match
 *	change.c      changes of a key or a stream
 *	batch.c       several at once
 *	list.c        lists of keys and streams
 *	entries.c     ranges of a stream's entries, and waiting for them
 *	job.c         changes that take many turns
 *	answer.c      the queue of replies of a connection
 *	access.c      who may ask
 *	alarms.c      when waits for entries end
 *	metrics.c     GET /metrics
 *	sums.c        what services that share the rounds have counted together
 */
#ifndef SERVE_SERVICE_INSIDE_H
#define SERVE_SERVICE_INSIDE_H

#include "base/link.h"
#include "paste/change.h"
#include "paste/list.h"
#include "serve/alarms.h"
#include "serve/chunk.h"
#include "serve/http_parse.h"
#include "serve/reply.h"
#include "serve/route.h"
#include "serve/rounds.h"
#include "serve/service.h"
#include "serve/text.h"

#define PIPELINE_MAX 128         /* replies that may wait before we stop to read requests */
#define DRAIN_MAX (64 * 1024)    /* bytes of a refused body that are read to keep the connection */
#define CHUNKED_STEP (64 * 1024) /* bytes of a body of unknown length that are let in at a time */
#define JOB_STEP 256             /* keys deleted by prefix in a turn */
#define SWEEP_US 500000          /* every connection is looked at so often, for what has taken too long */
#define SWEEP_STEP 512           /* so many of them in a turn */
#define PROGRESS_BYTES 4096      /* of a body within the time for a request, or it takes too long */
#define ROOM_WAIT_US 2000000     /* a body waits so long for room, see body.c */
#define STARVED_FAIL_US 1000000  /* bodies make no progress for want of buffers: one is given up */

enum connection_state {
	READ_HEAD,
	READ_BODY,
	WAIT_ROOM,    /* for the body; nothing is read */
	WAIT_JOB,     /* a change that takes many turns; nothing is read */
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
	struct link turn_link;        /* in service.fresh, .waiting or .followers */
	struct link body_link;        /* in service.bodies, .rooms or .jobs */
	struct alarm alarm;           /* in service.alarms: it waits for entries, at most until then */

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
	struct paste_delete_prefix *job;
	uint32_t moved; /* bytes of the body since `since` */
	int64_t since;  /* monotonic us: when what it waits for now began, or last made progress */
};

/* Of the request that is being answered; zeroes when there is none. */
struct asked {
	bool head; /* the answer has no body */
	bool writes;
	bool counted; /* its time is */
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

	struct link all;                        /* connections */
	struct link bodies;                     /* that are in READ_BODY, oldest first */
	struct link rooms;                      /* that are in WAIT_ROOM */
	struct link fresh;                      /* with replies to look at in this turn */
	struct link waiting;                    /* whose first reply waits for a round */
	struct link jobs;                       /* that are in WAIT_JOB */
	struct alarms alarms;                   /* of followers */
	struct link followers[ROUNDS_BUCKETS];  /* whose first reply waits for entries of a stream */
	uint32_t seen_appended[ROUNDS_BUCKETS]; /* of rounds.appended, when the followers were woken last */
	struct link *sweep;                     /* the connection to look at next; &all: none */
	int64_t sweep_at;                       /* monotonic us: when the next sweep begins */
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
	struct text scratch;

	struct rounds *rounds, own_rounds;
	struct link peer_link; /* in rounds.services */
	uint64_t seen_durable; /* replies that waited for it were looked at; the same of the failure */
	int seen_error;
	int64_t body_progress_at; /* monotonic us */
	bool draining;

	struct request current;  /* being worked on */
	struct query_text after; /* of that request, if it is for a list */
	int64_t idle_us, request_us;
	struct tokens *tokens;
	int64_t started_us;
	const char *version;
	struct asked asked;
	struct latency latency[SERVICE_KINDS];
	uint32_t turn_replies[SERVICE_KINDS]; /* sent in the turn in which they were asked for */
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
/* Its request is refused with the rule that it broke, and nothing behind it is looked at. */
void connection_broke(struct service *s, struct connection *c, enum http_rule rule);
void connection_free_dropped(struct service *s);
bool connection_is_idle(const struct connection *c);
void connection_pools_close(struct service *s);
/* So many bytes of its body have come. */
void connection_moved(struct service *s, struct connection *c, uint32_t bytes);
/* End it if it has taken too long. */
void connection_check_time(struct service *s, struct connection *c);

/* Go n bytes forward. The slice owns a user count on each buffer that it touches; those left behind are put,
 * a slice of length 0 owns none. */
void slice_advance(struct service *s, struct paste_ref *slice, uint32_t n);

/* body.c */
/* A copy of a request that outlives its head; body_free() frees the connection's. */
struct request *request_new(struct service *s, const struct request *of);
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

/* How a request is answered. The round: what the reply reveals. */
struct reply *request_answer(struct service *s, struct connection *c, const struct request *r,
			     uint16_t status, uint64_t round);
void request_fail(struct service *s, struct connection *c, const struct request *r, int error);
struct reply *request_missing(struct service *s, struct connection *c, const struct request *r, uint64_t round);
/* This text as JSON; takes it over. */
struct reply *request_answer_text(struct service *s, struct connection *c, const struct request *r, uint16_t status,
			 struct text *t, uint64_t round);
void request_failed_condition(struct service *s, struct connection *c, const struct request *r,
			      uint64_t round);

/* conditions.c: false if they do not hold; then it is answered. */
bool conditions_hold(struct service *s, struct connection *c, const struct request *r);

/* change.c */
void change_key(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n);
void change_append(struct service *s, struct connection *c, const struct request *r,
		   const struct paste_ref *slices, uint32_t n);
void change_trim(struct service *s, struct connection *c, const struct request *r);

/* Its Idempotency-Key; length 0: none. The fingerprint is that of the body. */
struct paste_retry retry_of(struct service *s, const struct request *r, const struct paste_ref *slices, uint32_t n);

/* batch.c: POST /batch */
void batch_post(struct service *s, struct connection *c, const struct request *r,
		const struct paste_ref *slices, uint32_t n);

/* list.c: GET /kv and GET /log, behind s->after */
void list_get(struct service *s, struct connection *c, const struct request *r);

/* entries.c: GET /log/STREAM */
void entries_get(struct service *s, struct connection *c, const struct request *r);
/* The connection's first reply, of REPLY_ENTRIES: false if it waits for entries, in a list of followers. */
bool entries_are_due(struct service *s, struct connection *c, struct reply *r);
bool entries_have_begun(const struct reply *r);
/* 0: all has left. 1: it goes on when r->round is durable. -EAGAIN: when the connection takes more. -EBADMSG,
 * -EIO: an entry cannot be read; -EPIPE, -ENOMEM. */
int entries_send(struct service *s, struct connection *c, struct reply *r);

/* job.c: DELETE /kv?prefix=P, a piece a turn */
void job_begin(struct service *s, struct connection *c);
void job_free(struct connection *c);
void jobs_step(struct service *s);

/* answer.c */
bool answer_may_leave(const struct service *s, uint64_t round);
/* Make this one, which is the newest, the last of its connection. */
void answer_close(struct service *s, struct connection *c, struct reply *r);
/* Room for n pieces in s->sends. 0 or -ENOMEM. */
int sends_reserve(struct service *s, uint32_t n);
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

/* access.c */
/* 0, or 401 or 403: this request may not be answered. `known`: the current request's resource is. */
int access_check(struct service *s, const struct http_request *http, bool known);
const char *access_challenge(bool was_sent, int status); /* the value of WWW-Authenticate */

/* metrics.c: the text, on the heap; NULL if out of memory. */
char *metrics_text(struct service *s, size_t *length);

/* Bytes of the largest body that can be stored. */
static inline uint64_t service_body_max(const struct service *s)
{
	uint64_t value = paste_store_value_max(s->store);

	return value < s->max_body ? value : s->max_body;
}

/* Seconds until a key expires, rounded up, so that 0 does not come before it has. */
static inline uint64_t service_ttl(const struct service *s, uint64_t expires)
{
	uint64_t now = paste_store_time(s->store);

	return expires > now ? (expires - now + 999) / 1000 : 0;
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
