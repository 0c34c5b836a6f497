/* SPDX-License-Identifier: BSD-2-Clause */
/* xdp_landing.h - which interface has the region's buffers, for whoever opens the region after a crash
 * (region/landing.h). */
#ifndef PORT_XDP_LANDING_H
#define PORT_XDP_LANDING_H

#include <stdint.h>

#include "paste/region.h"

/* These queues of an interface of this thread's network namespace. */
int xdp_landing_make(struct paste_landing *l, const char *ifname, unsigned ifindex, uint32_t first_queue,
		     uint32_t queues);

#endif
