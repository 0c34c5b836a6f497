/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of the UDP service in Prometheus' text format. */
#include <inttypes.h>

#include "serve/udp_service.h"

void udp_service_metrics(FILE *out, const struct udp_service_stats *s, const struct paste_datagrams_stats *w)
{
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} metrics[] = {
	    {"received_total", "counter", "Datagrams that arrived whole.", w->received},
	    {"received_bytes_total", "counter", "Bytes in them.", w->received_bytes},
	    {"kept_total", "counter", "Datagrams that became entries.", s->kept},
	    {"kept_bytes_total", "counter", "Bytes in them.", s->kept_bytes},
	    {"refused_total", "counter", "Datagrams that were answered with a reason instead.", s->refused},
	    {"answered_total", "counter", "Answers handed on.", s->answered},
	    {"unanswered_total", "counter", "Answers that could not be sent.", s->unanswered + w->unsent},
	    {"waiting", "gauge", "Answers that wait for their round.", s->waiting},
	    {"paused_total", "counter", "Turns that took nothing because too many answers wait.", s->paused},
	    {"dropped_total", "counter", "Packets dropped because a check failed.", w->refused},
	    {"lost_total", "counter", "Packets lost for want of a buffer or of room in a ring.", w->lost},
	    {"bare_sums_total", "counter", "Packets accepted with the sum of a pseudo-header only.",
	     w->bare_sums},
	};

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		fprintf(out, "# HELP paste_udp_%s %s\n# TYPE paste_udp_%s %s\npaste_udp_%s %" PRIu64 "\n",
			metrics[i].name, metrics[i].help, metrics[i].name, metrics[i].type, metrics[i].name,
			metrics[i].value);
}
