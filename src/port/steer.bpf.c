/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer.bpf.c - the XDP program: packets to our (address, protocol, port) go to our sockets, all else to the
 * kernel.
 *
 * Passed on purpose, whatever the rules say:
 *   - frames with a VLAN tag (they belong to the VLAN's own interface), but not priority tags (VID 0), which
 * are ours;
 *   - whatever is cut short, of another version, or not TCP or UDP: the kernel judges it and counts it;
 *   - fragments of an IP packet after the first: without it they come to nothing;
 *   - IPv6 packets with a routing header that has segments left (they are not at their destination), with
 * headers that are not known here, or more than EXTENSIONS_MAX of them. Dropped: packets of ours while no
 * socket is there, and the first fragment of a packet of ours. Both would make the kernel answer in our name:
 * a reset, or a port unreachable.
 *
 * IP options and IPv6 extension headers are stepped over. Checksums and lengths beyond the headers are the
 * receiver's to verify. Rules for all addresses take frames sent to one station only: a group's frames are
 * for the kernel unless a rule names the group.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer_shared.h"

#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define VLAN_ID_MASK 0x0fff
#define EXTENSIONS_MAX 8

/* Next-header values that the kernel's user headers only give together with the C library's. */
enum {
	HEADER_HOP_BY_HOP = 0,
	HEADER_ROUTING = 43,
	HEADER_FRAGMENT = 44,
	HEADER_AUTHENTICATION = 51,
	HEADER_DESTINATION = 60,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_RULES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_key);
	__type(value, __u8);
} rules SEC(".maps");

/* By receive queue; max_entries is set when it is loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_counts);
} counts SEC(".maps");

struct packet {
	struct steer_key to;
	bool group;          /* sent to a group of stations */
	bool first_fragment; /* more are to follow */
};

/* Headers as bytes: no alignment is promised. */
struct ethernet {
	__u8 to[6], from[6];
	__be16 type;
} __attribute__((packed));

struct vlan {
	__be16 tag, type;
} __attribute__((packed));

struct ipv4 {
	__u8 version_length, service;
	__be16 length, id, fragment;
	__u8 ttl, protocol;
	__be16 checksum;
	__u8 from[4], to[4];
} __attribute__((packed));

struct ipv6 {
	__u8 version, flow[3];
	__be16 length;
	__u8 next, hops;
	__u8 from[16], to[16];
} __attribute__((packed));

struct extension {
	__u8 next, length;
	__u8 routing_type, segments_left;
} __attribute__((packed));

struct ipv6_fragment {
	__u8 next, zero;
	__be16 offset;
	__u32 id;
} __attribute__((packed));

struct ports {
	__u8 from[2], to[2];
} __attribute__((packed));

/* The header at `offset`, or return false: the packet is the kernel's. The barrier keeps the compiler from
 * computing the address a second time, which the verifier would not know to have been checked. */
#define HEADER(type, name, data, end, offset)                                                                \
	struct type *name = (data) + (offset);                                                               \
	barrier_var(name);                                                                                   \
	if ((void *)(name + 1) > (end))                                                                      \
	return false

static __always_inline bool find_ports(void *data, void *end, __u32 at, __u8 protocol, struct packet *p)
{
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return false;
	HEADER(ports, ports, data, end, at);
	p->to.protocol = protocol;
	__builtin_memcpy(p->to.port, ports->to, 2);
	return true;
}

static __always_inline bool find_ipv4(void *data, void *end, __u32 at, struct packet *p)
{
	HEADER(ipv4, ip, data, end, at);
	__u32 length = (ip->version_length & 15) * 4;

	if (ip->version_length >> 4 != 4 || length < sizeof(*ip))
		return false;
	__u16 fragment = bpf_ntohs(ip->fragment);
	if (fragment & 0x1fff)
		return false;
	p->first_fragment = fragment & 0x2000;
	p->to.address[10] = p->to.address[11] = 0xff;
	__builtin_memcpy(p->to.address + 12, ip->to, 4);
	return find_ports(data, end, at + length, ip->protocol, p);
}

static __always_inline bool find_ipv6(void *data, void *end, __u32 at, struct packet *p)
{
	HEADER(ipv6, ip, data, end, at);
	__u8 next = ip->next;

	if (ip->version >> 4 != 6)
		return false;
	__builtin_memcpy(p->to.address, ip->to, 16);
	at += sizeof(*ip);
#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next == HEADER_FRAGMENT) {
			HEADER(ipv6_fragment, fragment, data, end, at);
			__u16 offset = bpf_ntohs(fragment->offset);
			if (offset & 0xfff8)
				return false;
			p->first_fragment |= offset & 1;
			next = fragment->next;
			at += sizeof(*fragment);
		} else if (next == HEADER_HOP_BY_HOP || next == HEADER_DESTINATION ||
			   next == HEADER_ROUTING || next == HEADER_AUTHENTICATION) {
			HEADER(extension, extension, data, end, at);
			if (next == HEADER_ROUTING && extension->segments_left)
				return false;
			at += next == HEADER_AUTHENTICATION ? (extension->length + 2) * 4
							    : (extension->length + 1) * 8;
			next = extension->next;
		} else {
			break;
		}
	}
	return find_ports(data, end, at, next, p);
}

/* Where the packet goes, if it is one that a rule could name. */
static __always_inline bool find_destination(void *data, void *end, struct packet *p)
{
	HEADER(ethernet, ethernet, data, end, 0);
	__be16 type = ethernet->type;
	__u32 at = sizeof(*ethernet);

	p->group = ethernet->to[0] & 1;
	if (type == bpf_htons(TYPE_VLAN)) {
		HEADER(vlan, vlan, data, end, at);
		if (vlan->tag & bpf_htons(VLAN_ID_MASK))
			return false;
		type = vlan->type;
		at += sizeof(*vlan);
	}
	if (type == bpf_htons(TYPE_IPV4))
		return find_ipv4(data, end, at, p);
	if (type == bpf_htons(TYPE_IPV6))
		return find_ipv6(data, end, at, p);
	return false;
}

static __always_inline bool is_ours(struct packet *p)
{
	if (bpf_map_lookup_elem(&rules, &p->to))
		return true;
	if (p->group)
		return false;
	/* Any address of the family: of IPv4 the prefix stays. */
	bool mapped = true;
	for (int i = 0; i < 10; i++)
		mapped &= p->to.address[i] == 0;
	mapped &= p->to.address[10] == 0xff && p->to.address[11] == 0xff;
	if (!mapped)
		__builtin_memset(p->to.address, 0, 12);
	__builtin_memset(p->to.address + 12, 0, 4);
	return bpf_map_lookup_elem(&rules, &p->to);
}

static __always_inline int decide(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (!find_destination(data, end, p) || !is_ours(p))
		return XDP_PASS;
	if (p->first_fragment)
		return XDP_DROP;
	/* The lower bits of the last argument are the answer when the map has no socket for the queue. */
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);
}

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	struct packet p = {};
	int verdict = decide(ctx, &p);
	__u32 queue = ctx->rx_queue_index;
	struct steer_counts *count = bpf_map_lookup_elem(&counts, &queue);

	if (!count)
		return verdict;
	if (verdict == XDP_PASS)
		count->passed++;
	else if (verdict == XDP_REDIRECT)
		count->taken++;
	else if (p.first_fragment)
		count->fragments++;
	else
		count->absent++;
	return verdict;
}

/* No helper here asks for more. */
char steer_license[] SEC("license") = "BSD-2-Clause";
