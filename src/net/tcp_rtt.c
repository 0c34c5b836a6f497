/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tcp_rtt.h"

#define GRANULARITY_US 1000 /* a tick of the timer wheel: G */

void tcp_rtt_init(struct tcp_rtt *r)
{
	*r = (struct tcp_rtt){.rto_us = TCP_RTO_FIRST_US};
}

void tcp_rtt_sample(struct tcp_rtt *r, uint64_t us)
{
	uint32_t sample = us < 1 ? 1 : us > TCP_RTO_MOST_US ? TCP_RTO_MOST_US : (uint32_t)us;

	if (r->smoothed_us == 0) { /* (2.2) */
		r->smoothed_us = sample;
		r->variation_us = sample / 2;
	} else { /* (2.3), beta 1/4, alpha 1/8 */
		uint32_t difference =
		    r->smoothed_us > sample ? r->smoothed_us - sample : sample - r->smoothed_us;
		r->variation_us = r->variation_us - r->variation_us / 4 + difference / 4;
		r->smoothed_us = r->smoothed_us - r->smoothed_us / 8 + sample / 8;
		if (r->smoothed_us == 0)
			r->smoothed_us = 1;
	}
	uint32_t spread = 4 * r->variation_us;
	uint32_t rto = r->smoothed_us + (spread > GRANULARITY_US ? spread : GRANULARITY_US);
	r->rto_us = rto < TCP_RTO_LEAST_US ? TCP_RTO_LEAST_US : rto > TCP_RTO_MOST_US ? TCP_RTO_MOST_US : rto;
}

uint64_t tcp_rtt_timeout(const struct tcp_rtt *r, uint32_t backoff)
{
	uint64_t us = (uint64_t)r->rto_us << (backoff < 16 ? backoff : 16);

	return us < TCP_RTO_MOST_US ? us : TCP_RTO_MOST_US;
}
