/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_conn.h - a connection and the stack it belongs to: what the files of TCP share.
 *
 *	tcp_stack.c    opening, polling, watching, closing; the table of functions of paste/stack.h
 *	tcp_listen.c   listening and connecting
 *	tcp_conn.c     a connection from its beginning to its end; the application's calls
 *	tcp_event.c    what the application is told
 *	tcp_input.c    a received segment (RFC 9293, section 3.10.7)
 *	tcp_ack.c      the acknowledgment in it
 *	tcp_data.c     the data in it
 *	tcp_output.c   segments out
 *	tcp_timer.c    what happens when time passes
 *
 * A turn is: timers, then the connections that have something to send, then received segments. Nothing is
 *sent in the middle of the latter but what may not wait (duplicate acknowledgments, resets): a connection is
 *put on the list `output`, and the application's replies to this turn's events leave in the next one, with
 *the acknowledgments in them.
 *
 * Memory: connections, blocks of send queues, pieces of received data and scoreboards come from pools of
 *fixed size, touched as they are used. A freed connection is reused in the next turn only, since events of
 *the batch under work may still name it.
 */
#ifndef NET_TCP_CONN_H
#define NET_TCP_CONN_H

#include "base/link.h"
#include "net/net.h"
#include "net/tcp_cc.h"
#include "net/tcp_hold.h"
#include "net/tcp_isn.h"
#include "net/tcp_loss.h"
#include "net/tcp_queue.h"
#include "net/tcp_rtt.h"
#include "net/tcp_segment.h"
#include "net/tcp_table.h"
#include "net/wheel.h"
#include "paste/tcp.h"

#define TCP_LISTENERS 8
#define TCP_WATCHES 8
#define TCP_NEVER UINT64_MAX
#define TCP_DEFAULT_MSS4 536u /* RFC 9293, section 3.7.1 */
#define TCP_DEFAULT_MSS6 1220u
#define TCP_MSS_LEAST 64u /* a smaller one would make us send mostly headers (RFC 9293, section 3.7.1) */
#define TCP_SYN_RETRIES 5
#define TCP_TIME_WAIT_US 60000000ull /* 2 MSL, with an MSL of 30 s */
#define TCP_QUICK 16         /* acknowledgments sent at once, before delaying begins and after it did harm */
#define TCP_CHALLENGE_MS 500 /* a challenge ACK a connection so often (RFC 5961, section 7) */

enum tcp_state {
	TCP_CLOSED, /* dead, and not given up by the application yet */
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

const char *tcp_state_name(enum tcp_state state);

enum tcp_due { /* events that are to be told, in this order */
	       TCP_DUE_ACCEPT = 1,
	       TCP_DUE_CONNECT = 2,
	       /* data: conn.hold */
	       TCP_DUE_EOF = 4,
	       TCP_DUE_WRITABLE = 8,
	       TCP_DUE_ERROR = 16,
	       TCP_DUE_RELEASED = 32, /* before the error; only where the application asked for it */
};

enum tcp_ack_due { TCP_ACK_NONE, TCP_ACK_SOON, TCP_ACK_NOW };

/* What send_at is for while something is unacknowledged. */
enum tcp_waits {
	TCP_WAITS_TIMEOUT,
	TCP_WAITS_PROBE, /* nothing has come for two round trips */
	TCP_WAITS_DOUBT, /* something beyond the first unacknowledged bytes was reported a quarter of one ago */
};

struct tcp;

/* In the order in which a segment in order and its acknowledgment touch it: the first four lines of the
 * cache, and no more if there is nothing to send. */
struct tcp_conn {
	/* line 0: whose it is, and what is next */
	_Alignas(64) struct paste_conn base;
	struct tcp *tcp;
	uint32_t hash;
	uint16_t local_port, peer_port;
	uint8_t state;      /* enum tcp_state */
	uint8_t due;        /* enum tcp_due */
	uint8_t ack_due;    /* enum tcp_ack_due */
	uint8_t quick;      /* acknowledgments left that are not delayed */
	uint32_t next;      /* RCV.NXT */
	uint32_t edge;      /* RCV.NXT + RCV.WND: the right edge that was advertised; never goes back */
	uint32_t acked;     /* Last.ACK.sent */
	uint32_t ts_recent; /* TS.Recent */
	bool passive : 1;
	bool told : 1;     /* the application knows of it */
	bool given_up : 1; /* the application has closed or aborted it */
	bool paused : 1;
	bool timestamps : 1; /* RFC 7323: both sides offered them */
	bool sack : 1;       /* RFC 2018 */
	bool shut : 1;       /* our FIN follows the queued bytes */
	bool peer_shut : 1;  /* the peer's FIN was received */
	bool want_writable : 1;
	bool send_syn : 1;
	bool unresolved : 1; /* the MAC to send to is not known yet: nothing leaves */
	bool sending : 1; /* something is queued, or our FIN is not acknowledged: there is more than the first
			     lines */
	bool timing : 1;  /* timed_seq is being timed */
	bool in_table : 1;
	bool limited : 1;   /* the last output was held back by the congestion window */
	bool override : 1;  /* send into a window that is too small to be worth it */
	bool full : 1;      /* counted in tcp.full_n */
	bool delivered : 1; /* counted in tcp.delivered_n */
	bool fin_early : 1; /* the peer's FIN came before bytes that precede it; it is fin_seq */
	uint8_t waits : 2;  /* enum tcp_waits */
	bool probed : 1;    /* since the peer last acknowledged or reported something */
	bool tail_again : 1; /* the probe was something that had been sent before */
	uint8_t scales;     /* window scales, of what we send to (low half) and of what we receive */
	uint16_t mss;       /* bytes of payload a segment, options deducted */
	uint16_t peer_mss;  /* of what it sends, for delaying acknowledgments */
	uint32_t tail_end;  /* tail_again: where the probe ended */
	/* line 1: send sequence space, and what an acknowledgment needs */
	_Alignas(64) uint32_t una; /* SND.UNA */
	uint32_t nxt;              /* SND.NXT */
	uint32_t window;                 /* SND.WND, bytes */
	uint32_t window_seq, window_ack; /* SND.WL1, SND.WL2 */
	uint32_t window_most;            /* the largest the peer has advertised */
	uint32_t queue_seq;              /* the sequence number of the send queue's first byte */
	uint32_t unacked;                /* bytes received and not acknowledged */
	struct link output_link;         /* in tcp.output */
	uint64_t received_at;
	uint64_t ts_recent_at;
	/* line 2: the way to the peer */
	_Alignas(64) struct packet_path path;
	uint8_t backoff; /* time-outs in a row */
	uint8_t probes;  /* keep-alive probes without an answer */
	uint32_t ts_offset;
	uint32_t tail_ts; /* tail_again: when it was sent, as a timestamp */
	/* line 3: what is held, and when to acknowledge */
	_Alignas(64) struct tcp_hold hold;
	uint32_t timed_seq;
	uint64_t
	    send_at; /* retransmission (`waits`), persist, TIME-WAIT or FIN-WAIT-2: which follows from the state */
	uint64_t ack_at; /* delayed acknowledgment */
	uint64_t received_bytes;
	/* sending */
	struct tcp_queue queue;
	struct tcp_cc cc;
	struct tcp_loss loss;
	struct tcp_rtt rtt;
	int error;
	uint64_t timed_at;
	uint64_t progress_at; /* when the peer last acknowledged something, or something was first sent */
	uint64_t sent_at;     /* data */
	uint64_t sent_bytes;
	struct wheel_timer timer; /* at the earliest of what it waits for, or before that */
	struct link
	    list_link; /* in tcp.half_open, .ready, .time_wait, .freed or .unused: one after the other */
	uint32_t challenged_ms; /* when the last challenge ACK was sent; 0: never */
	uint32_t fin_seq;
	uint32_t latest_early; /* sequence number of the segment last received early */
	uint32_t retransmitted;
};


_Static_assert(sizeof(struct tcp_conn) + 2 * sizeof(struct tcp_place) <= 512,
	       "an idle connection, its two places in the table included");
_Static_assert(offsetof(struct tcp_conn, una) == 64 && offsetof(struct tcp_conn, path) == 128 &&
		   offsetof(struct tcp_conn, hold) == 192 && offsetof(struct tcp_conn, queue) == 256,
	       "lines of the cache");

struct tcp_listener {
	struct net_address address;
	bool any4, any6;
	uint16_t port;
};

struct tcp_watch {
	int fd;
	uint64_t cookie;
};

struct tcp {
	struct paste_stack base;
	struct paste_region *region;
	struct net *net;
	struct paste_tcp_options options;
	uint64_t now; /* us: of this turn */

	/* Where events go during a turn; NULL outside. */
	struct paste_event *events;
	int events_n, events_max;

	struct tcp_table table;
	struct wheel wheel;
	struct tcp_conn *conns;
	uint32_t conns_max, conns_untouched;
	struct link unused, freed;
	struct link output, ready;
	struct link half_open, time_wait;
	uint32_t half_open_n, time_wait_n;
	uint32_t full_n; /* connections that the application knows of or will: limits.connections at most */
	uint32_t delivered_n; /* of them, closed ones whose peer has everything, and has not closed itself */
	uint32_t alive;  /* all that are in use */

	struct queue_pool queue_pool;
	struct hold_pool hold_pool;
	struct tcp_sack *sacks, *sacks_free;
	uint32_t sacks_n;
	uint32_t keep;         /* buffers that may still be held in this turn */
	uint32_t keep_reserve; /* that must stay free */

	uint64_t isn_key[2];
	uint16_t next_port;
	uint16_t
	    *port_users; /* connections of tcp_connect() by their local port; where packets are steered */
	uint8_t window_scale;
	uint32_t window_max,
	    buffers_max; /* a connection's receive window, bytes, and the buffers it may hold */
	uint32_t mtu;
	struct tcp_segment segment[NET_BATCH];
	uint32_t segment_hash[NET_BATCH];
	struct tcp_conn *segment_conn[NET_BATCH]; /* the first under that hash when the batch was approached; NULL */

	struct tcp_listener listener[TCP_LISTENERS];
	uint32_t listeners;
	struct tcp_watch watch[TCP_WATCHES];
	uint32_t watches;
	uint64_t watched_at;

	struct paste_stack_stats stats;
	struct paste_tcp_stats counters;
};

extern const struct paste_stack_ops tcp_ops;

/* tcp_conn.c */
/* NULL: none left. In no state, in no list. */
struct tcp_conn *tcp_conn_new(struct tcp *t, const struct packet_path *path, uint16_t local_port,
			      uint16_t peer_port);
void tcp_conn_enter(struct tcp_conn *c, enum tcp_state state);
/* The connection is over: nothing more is sent or received. The application is told the error, unless it is 0
 * or it has given the connection up. */
void tcp_conn_die(struct tcp_conn *c, int error);
void tcp_conn_reuse_freed(struct tcp *t);
/* The first `bytes` bytes of the send queue are needed no more. */
void tcp_conn_release(struct tcp_conn *c, uint32_t bytes);
struct tcp_conn *tcp_conn_find(struct tcp *t, uint32_t hash, const struct net_packet *p,
			       const struct tcp_segment *s);
struct tcp_sack *tcp_conn_scoreboard(struct tcp_conn *c); /* NULL: none left */
void tcp_conn_scoreboard_drop(struct tcp_conn *c);
/* Options of a SYN; `theirs`. */
void tcp_conn_negotiate(struct tcp_conn *c, const struct tcp_segment *s);
void tcp_conn_established(struct tcp_conn *c);
int tcp_conn_send(struct paste_conn *base, const struct paste_send *pieces, int n);
uint32_t tcp_conn_unsent(const struct paste_conn *base);
void tcp_conn_pause(struct paste_conn *base);
void tcp_conn_resume(struct paste_conn *base);
int tcp_conn_shut(struct paste_conn *base);
void tcp_conn_finish(struct paste_conn *base);
void tcp_conn_abort(struct paste_conn *base);
void tcp_conn_peer(const struct paste_conn *base, char *text, size_t size);
void tcp_conn_info(const struct paste_conn *base, struct paste_conn_info *info);

/* tcp_event.c */
/* One DATA event now, if nothing waits before it and there is room. */
bool tcp_event_data(struct tcp_conn *c, struct paste_ref slice);
/* Tell what is due, as far as there is room. */
void tcp_event_tell(struct tcp_conn *c);
void tcp_event_due(struct tcp_conn *c, enum tcp_due due);
void tcp_event_tell_ready(struct tcp *t);

/* tcp_listen.c */
int tcp_listen(struct paste_stack *base, const char *address, char *bound, size_t bound_size,
	       struct paste_error *err);
void tcp_unlisten(struct paste_stack *base);
int tcp_connect(struct paste_stack *base, const char *address, struct paste_conn **conn,
		struct paste_error *err);
void tcp_connect_over(struct tcp_conn *c); /* its packets are wanted no more */
bool tcp_listens(const struct tcp *t, const struct net_address *address, uint16_t port);
void tcp_syn_received(struct tcp *t, uint32_t hash, const struct net_packet *p, const struct tcp_segment *s);

/* tcp_input.c: stages of net.h */
enum packet_check tcp_prepare(void *arg, struct net_packet *p);
void tcp_approach(void *arg, struct net_packet *p);
enum packet_check tcp_receive(void *arg, struct net_packet *p);

/* tcp_ack.c */
/* False: the segment is to be dropped. */
bool tcp_ack_receive(struct tcp_conn *c, const struct tcp_segment *s);
void tcp_ack_window(struct tcp_conn *c, const struct tcp_segment *s);
/* Something was lost. Again: in a recovery that goes on, whose window is halved down to two segments. */
void tcp_congested(struct tcp_conn *c);
void tcp_congested_again(struct tcp_conn *c);

/* tcp_data.c */
/* The segment's payload and FIN, which lie in the window at least in part. */
void tcp_data_receive(struct tcp_conn *c, const struct net_packet *p, struct tcp_segment *s);
/* How far the window's right edge could be, were it advertised now. */
uint32_t tcp_data_edge(const struct tcp_conn *c);
/* What was held is handed over: the window may have to be opened. */
void tcp_data_handed_over(struct tcp_conn *c);
void tcp_data_ack(struct tcp_conn *c, enum tcp_ack_due due);

/* tcp_output.c */
/* Send what can be sent. False: the transmit ring is full. */
bool tcp_output(struct tcp_conn *c);
void tcp_output_all(struct tcp *t);
bool tcp_send_ack(struct tcp_conn *c);
uint32_t tcp_syn_window(const struct tcp *t); /* what the first SYN advertises, not scaled */
/* An empty segment before the window, which must be answered: of a closed window, and of a silent peer (RFC
 * 9293, sections 3.8.6.1 and 3.8.4). */
void tcp_send_probe(struct tcp_conn *c);
/* RFC 8985, section 7.3: a segment that is new, or the last one once more. False: the transmit ring is full. */
bool tcp_send_tail(struct tcp_conn *c);
void tcp_challenge(struct tcp_conn *c);
void tcp_send_own_reset(struct tcp_conn *c);
void tcp_send_reset(struct tcp *t, const struct net_packet *p, const struct tcp_segment *s);
uint32_t tcp_timestamp(const struct tcp_conn *c);

/* tcp_timer.c */
void tcp_timer_arm(struct tcp_conn *c);
void tcp_timer_send(struct tcp_conn *c, uint64_t at); /* TCP_NEVER: none */
void tcp_timer_retransmit(struct tcp_conn *c); /* what is unacknowledged: from now on */
void tcp_timer_sent(struct tcp_conn *c);       /* new data: a probe is due later */
void tcp_timer_doubt(struct tcp_conn *c);
void tcp_resolve_later(struct tcp_conn *c); /* the neighbour is being looked for */
void tcp_timers_run(struct tcp *t);
uint64_t tcp_timers_next(const struct tcp *t); /* us; TCP_NEVER */

static inline void tcp_conn_output_soon(struct tcp_conn *c)
{
	if (link_empty(&c->output_link))
		link_append(&c->tcp->output, &c->output_link);
}

/* Is the segment one of the connection's, by its addresses and ports? */
static inline bool tcp_conn_is(const struct tcp_conn *c, const struct net_packet *p, const struct tcp_segment *s)
{
	return c->peer_port == s->source_port && c->local_port == s->destination_port &&
	       net_address_equal(&c->path.destination, &p->head.path.source) &&
	       net_address_equal(&c->path.source, &p->head.path.destination);
}

/* Sequence numbers that are under way or will be: the place of one in the send queue. */
static inline uint32_t tcp_conn_place(const struct tcp_conn *c, uint32_t seq)
{
	return seq - c->queue_seq;
}

/* The sequence number behind the last queued byte: our FIN's. */
static inline uint32_t tcp_conn_end(const struct tcp_conn *c)
{
	return c->queue_seq + c->queue.bytes;
}

/* Bytes that were sent or given up and are needed no more, since the connection began. */
static inline uint64_t tcp_conn_released(const struct tcp_conn *c)
{
	return c->sent_bytes + (uint64_t)(int32_t)(c->queue_seq - seq_min(c->nxt, tcp_conn_end(c)));
}

/* RFC 7323: Snd.Wind.Shift and Rcv.Wind.Shift. */
static inline uint32_t tcp_conn_send_scale(const struct tcp_conn *c)
{
	return c->scales & 15;
}

static inline uint32_t tcp_conn_receive_scale(const struct tcp_conn *c)
{
	return c->scales >> 4;
}

static inline bool tcp_conn_fin_sent(const struct tcp_conn *c)
{
	return c->shut && seq_after(c->nxt, tcp_conn_end(c));
}

static inline struct tcp *tcp_of(const struct paste_stack *s)
{
	return (struct tcp *)(uintptr_t)s;
}

static inline struct tcp_conn *tcp_conn_of(const struct paste_conn *c)
{
	return (struct tcp_conn *)(uintptr_t)c;
}

#endif
