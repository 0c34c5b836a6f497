/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * veth.h - two network namespaces with a pair of interfaces between them, for tests and benchmarks of AF_XDP.
 *
 *	  here (this process is in it)              there
 *	┌──────────────────────────────┐     ┌──────────────────────────────┐
 *	│ port under test              │     │                      a peer  │
 *	│          pst0 10.1.1.1/24    │═════│   10.1.1.2/24 pst1           │
 *	│               fd00::1/64     │veth │   fd00::2/64                 │
 *	│               02:00:00:00:00:01    │   02:00:00:00:00:02          │
 *	└──────────────────────────────┘     └──────────────────────────────┘
 *
 * Neither has a name or a way out, and the machine's own interfaces are in neither: both vanish with the
 *process, however it ends. Needs root.
 */
#ifndef TESTS_PORT_VETH_H
#define TESTS_PORT_VETH_H

#include <stdbool.h>
#include <stdint.h>

#define VETH_HERE "pst0"
#define VETH_THERE "pst1"
#define VETH_HERE_MAC "\x02\0\0\0\0\1"
#define VETH_THERE_MAC "\x02\0\0\0\0\2"

struct veth {
	int here, there; /* namespaces */
};

/* Move this process to a namespace of its own and make the other. False: not possible here, for the reason in
 * `why`. */
bool veth_namespaces(struct veth *v, const char **why);

/* (Re)make the pair. Waits until both ends are up. */
void veth_make(const struct veth *v, unsigned queues, unsigned mtu);

/* Run a command of `ip` in a namespace: "link set dev pst1 mtu 9000". The exit status. */
int veth_ip(int ns, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A socket that lives there. */
int veth_socket(const struct veth *v, int ns, int domain, int type, int protocol);

/* An AF_PACKET socket on the interface of that namespace, for frames of `type` (host byte order; 3: all). */
int veth_packet_socket(const struct veth *v, int ns, const char *ifname, uint16_t type);

/* One offload, by its command (ETHTOOL_STSO, ...). */
void veth_turn_off(const struct veth *v, int ns, const char *ifname, uint32_t command);

/* The peer's kernel sends no large segments and computes checksums itself. */
void veth_plain_offloads(const struct veth *v, int ns, const char *ifname);

#endif
