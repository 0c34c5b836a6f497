/* SPDX-License-Identifier: BSD-2-Clause */
/* Routes and neighbours of the kernel: asked, kept, and kept up by notifications. */
#include "net/neighbour.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/neighbour_table.h"

#define ASK_AGAIN_US 1000000    /* about a neighbour that was not found, or of which nothing was heard */
#define ASSURE_AGAIN_US 5000000 /* about one whose MAC may be out of date */
#define ROUTES 256              /* kept; a power of two */
#define MESSAGE_BYTES 8192
#define WORK_MESSAGES 64 /* reads that one neighbours_work() does at most */

/* A route to one host, as the kernel answered it. */
struct route {
	struct net_address to, next, source;
	unsigned ifindex;
	int error; /* 0, or why there is none */
	bool used;
};

struct neighbours {
	struct mnl_socket *ask, *listen;
	uint32_t sequence;
	struct neighbour_table table;
	struct route route[ROUTES];
	struct neighbour_stats stats;
	char message[MESSAGE_BYTES];
};

/* --- addresses */

static int family_of(const struct net_address *a)
{
	return net_address_is4(a) ? AF_INET : AF_INET6;
}

static void put_address(struct nlmsghdr *h, uint16_t type, const struct net_address *a)
{
	if (net_address_is4(a))
		mnl_attr_put(h, type, 4, a->byte + 12);
	else
		mnl_attr_put(h, type, 16, a->byte);
}

static bool get_address(const struct nlattr *attribute, struct net_address *a)
{
	const uint8_t *bytes = mnl_attr_get_payload(attribute);

	switch (mnl_attr_get_payload_len(attribute)) {
	case 4:
		*a = net_address4(bytes);
		return true;
	case 16:
		memcpy(a->byte, bytes, 16);
		return true;
	default:
		return false;
	}
}

/* --- what the kernel tells */

static enum neighbour_state state_of(uint16_t nud)
{
	if (nud & (NUD_FAILED | NUD_INCOMPLETE))
		return nud & NUD_FAILED ? NEIGHBOUR_FAILED : NEIGHBOUR_ASKED;
	if (nud & NUD_STALE)
		return NEIGHBOUR_STALE;
	return nud & (NUD_REACHABLE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP) ? NEIGHBOUR_KNOWN
											 : NEIGHBOUR_ASKED;
}

static void learn_neighbour(struct neighbours *n, const struct nlmsghdr *h)
{
	const struct ndmsg *m = mnl_nlmsg_get_payload(h);
	const uint8_t *mac = NULL;
	struct net_address address;
	struct nlattr *attribute;
	bool named = false;

	if (m->ndm_family != AF_INET && m->ndm_family != AF_INET6)
		return; /* a bridge's table of MACs comes by the same messages */
	mnl_attr_for_each(attribute, h, sizeof(*m))
	{
		if (mnl_attr_get_type(attribute) == NDA_DST)
			named = get_address(attribute, &address);
		else if (mnl_attr_get_type(attribute) == NDA_LLADDR &&
			 mnl_attr_get_payload_len(attribute) == 6)
			mac = mnl_attr_get_payload(attribute);
	}
	if (!named)
		return;
	if (h->nlmsg_type == RTM_DELNEIGH) {
		neighbour_table_remove(&n->table, &address, (unsigned)m->ndm_ifindex);
		return;
	}
	struct neighbour *s = neighbour_table_add(&n->table, &address, (unsigned)m->ndm_ifindex);
	if (!s)
		return; /* it is asked for when it is needed */
	s->state = (uint8_t)state_of(m->ndm_state);
	if (mac)
		memcpy(s->mac, mac, sizeof(s->mac));
	else if (s->state == NEIGHBOUR_KNOWN || s->state == NEIGHBOUR_STALE)
		s->state = NEIGHBOUR_ASKED;
}

static int learn(const struct nlmsghdr *h, void *arg)
{
	struct neighbours *n = arg;

	switch (h->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		learn_neighbour(n, h);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWRULE:
	case RTM_DELRULE:
		/* They are few and cheap to ask for: forget all. */
		memset(n->route, 0, sizeof(n->route));
		break;
	}
	return MNL_CB_OK;
}

/* --- questions */

/* Send a question and take its answer, which the kernel has ready when sending returns. */
static int ask(struct neighbours *n, struct nlmsghdr *h, mnl_cb_t each, void *arg)
{
	uint32_t port = mnl_socket_get_portid(n->ask);
	int more = MNL_CB_OK;

	h->nlmsg_seq = ++n->sequence;
	if (mnl_socket_sendto(n->ask, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t got = mnl_socket_recvfrom(n->ask, n->message, sizeof(n->message));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		more = mnl_cb_run(n->message, (size_t)got, n->sequence, port, each, arg);
	} while (more > MNL_CB_STOP);
	return more < 0 ? -errno : 0;
}

static int load_neighbours(struct neighbours *n)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(n->message);

	h->nlmsg_type = RTM_GETNEIGH;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ndm_family = AF_UNSPEC;
	neighbour_table_clear(&n->table);
	memset(n->route, 0, sizeof(n->route));
	return ask(n, h, learn, n);
}

/* The next hop may be of the other family (RFC 5549). */
static void get_via(const struct nlattr *attribute, struct net_address *a)
{
	const struct rtvia *via = mnl_attr_get_payload(attribute);
	size_t bytes = mnl_attr_get_payload_len(attribute) - sizeof(*via);

	if (via->rtvia_family == AF_INET && bytes == 4)
		*a = net_address4(via->rtvia_addr);
	else if (via->rtvia_family == AF_INET6 && bytes == 16)
		memcpy(a->byte, via->rtvia_addr, 16);
}

static int learn_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct route *r = arg;
	struct nlattr *attribute;

	if (h->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	/* To ourselves, to a group, or refused by an administrator. */
	r->error = m->rtm_type == RTN_UNICAST ? 0 : m->rtm_type >= RTN_BLACKHOLE ? -EHOSTUNREACH : -EINVAL;
	mnl_attr_for_each(attribute, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_GATEWAY:
			get_address(attribute, &r->next);
			break;
		case RTA_VIA:
			get_via(attribute, &r->next);
			break;
		case RTA_PREFSRC:
			get_address(attribute, &r->source);
			break;
		}
	}
	return MNL_CB_STOP;
}

static int ask_route(struct neighbours *n, struct route *r)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(n->message);

	h->nlmsg_type = RTM_GETROUTE;
	h->nlmsg_flags = NLM_F_REQUEST;
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (uint8_t)family_of(&r->to);
	m->rtm_dst_len = m->rtm_family == AF_INET ? 32 : 128;
	put_address(h, RTA_DST, &r->to);
	mnl_attr_put_u32(h, RTA_OIF, r->ifindex);
	n->stats.routes_asked++;
	return ask(n, h, learn_route, r);
}

static struct route *route_to(struct neighbours *n, const struct net_address *to, unsigned ifindex)
{
	uint32_t low;

	memcpy(&low, to->byte + 12, sizeof(low));
	struct route *r = &n->route[(low * 0x9e3779b1u ^ ifindex * 0x85ebca6bu) >> 24 & (ROUTES - 1)];
	if (r->used && r->ifindex == ifindex && net_address_equal(&r->to, to))
		return r;
	*r = (struct route){.to = *to, .next = *to, .ifindex = ifindex, .used = true};
	int ret = ask_route(n, r);
	if (ret < 0)
		r->error = ret;
	return r;
}

/* Let the kernel use the neighbour as if it sent something there: it looks for the MAC, or makes sure of it.
 */
static int probe(struct neighbours *n, struct neighbour *s, int64_t now_us)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(n->message);

	h->nlmsg_type = RTM_NEWNEIGH;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ndm_family = (uint8_t)family_of(&s->address);
	m->ndm_ifindex = (int)s->ifindex;
	m->ndm_state = NUD_NONE;
	m->ndm_flags = NTF_USE;
	put_address(h, NDA_DST, &s->address);
	s->asked_us = now_us;
	s->told_us = INT64_MIN;
	n->stats.probes++;
	return ask(n, h, NULL, NULL);
}

static int look_for(struct neighbours *n, struct neighbour *s, int64_t now_us)
{
	s->state = NEIGHBOUR_ASKED;
	int ret = probe(n, s, now_us);
	return ret < 0 ? ret : -EAGAIN;
}

static bool is_past(int64_t since, int64_t by, int64_t now)
{
	return since == INT64_MIN || now - since >= by;
}

/* It was not found. Say so for a while, then look again. */
static int not_found(struct neighbours *n, struct neighbour *s, int64_t now_us)
{
	/* Somebody else's question, of which we know nothing else. */
	if (s->asked_us == INT64_MIN)
		return look_for(n, s, now_us);
	if (s->told_us == INT64_MIN)
		s->told_us = now_us;
	return is_past(s->told_us, ASK_AGAIN_US, now_us) ? look_for(n, s, now_us) : -EHOSTUNREACH;
}

int neighbour_resolve(struct neighbours *n, const struct net_address *to, unsigned ifindex, int64_t now_us,
		      struct neighbour_way *way)
{
	if (net_address_kind(to) != NET_UNICAST)
		return -EINVAL;
	const struct route *r = route_to(n, to, ifindex);
	if (r->error)
		return r->error;
	struct neighbour *s = neighbour_table_add(&n->table, &r->next, ifindex);
	if (!s)
		return -ENOMEM;
	switch (s->state) {
	case NEIGHBOUR_ASKED:
		return is_past(s->asked_us, ASK_AGAIN_US, now_us) ? look_for(n, s, now_us) : -EAGAIN;
	case NEIGHBOUR_FAILED:
		return not_found(n, s, now_us);
	case NEIGHBOUR_STALE:
		/* Good enough to be used meanwhile, as the kernel itself does. */
		if (is_past(s->asked_us, ASSURE_AGAIN_US, now_us))
			probe(n, s, now_us);
		break;
	}
	*way = (struct neighbour_way){.source = r->source, .next = r->next};
	memcpy(way->mac, s->mac, sizeof(way->mac));
	return 0;
}

/* --- notifications */

int neighbours_fd(const struct neighbours *n)
{
	return mnl_socket_get_fd(n->listen);
}

int neighbours_work(struct neighbours *n)
{
	bool lost = false;

	for (int i = 0; i < WORK_MESSAGES; i++) {
		struct sockaddr_nl from = {.nl_pid = 0};
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(neighbours_fd(n), n->message, sizeof(n->message), MSG_DONTWAIT,
				       (struct sockaddr *)&from, &size);
		if (got < 0 && errno == ENOBUFS) {
			lost = true;
			continue;
		}
		if (got < 0)
			break;
		n->stats.notifications++;
		/* Of the kernel only: any privileged process can send to a netlink socket, but not as number
		 * 0. */
		if (from.nl_pid == 0)
			mnl_cb_run(n->message, (size_t)got, 0, 0, learn, n);
	}
	if (!lost)
		return 0;
	n->stats.reloads++;
	return load_neighbours(n);
}

/* --- opening */

static struct mnl_socket *open_socket(void)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(s);
		return NULL;
	}
	return s;
}

static int join_groups(struct neighbours *n)
{
	static const int groups[] = {
	    RTNLGRP_NEIGH,     RTNLGRP_LINK,      RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE,
	    RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];
		if (mnl_socket_setsockopt(n->listen, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int neighbours_open(struct neighbours **neighbours, struct paste_error *err)
{
	struct neighbours *n = calloc(1, sizeof(*n));

	if (!n)
		return paste_fail(err, -ENOMEM, "out of memory");
	n->ask = open_socket();
	n->listen = n->ask ? open_socket() : NULL;
	int ret = n->listen ? join_groups(n) : -errno;
	/* Behind joining, so that nothing is missed between. */
	if (ret == 0)
		ret = load_neighbours(n);
	if (ret < 0) {
		neighbours_close(n);
		return paste_fail(err, ret, "cannot read the kernel's neighbour table: %s", strerror(-ret));
	}
	*neighbours = n;
	return 0;
}

void neighbours_close(struct neighbours *n)
{
	if (!n)
		return;
	if (n->ask)
		mnl_socket_close(n->ask);
	if (n->listen)
		mnl_socket_close(n->listen);
	neighbour_table_free(&n->table);
	free(n);
}

void neighbours_stats(const struct neighbours *n, struct neighbour_stats *stats)
{
	*stats = n->stats;
	for (uint32_t i = 0; i < n->table.size; i++) {
		const struct neighbour *s = &n->table.slot[i];
		stats->known += s->used && (s->state == NEIGHBOUR_KNOWN || s->state == NEIGHBOUR_STALE);
	}
}
