/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job.c - DELETE /kv?prefix=P: so many keys may have the prefix that it takes many turns.
 *
 * Meanwhile the connection is not read: what comes behind it on the same connection must find the keys
 * deleted. Others are served, and may see some of the keys gone and some not yet.
 */
#include "serve/service_inside.h"

#include "base/site.h"

#include <errno.h>
#include <stdlib.h>

void job_begin(struct service *s, struct connection *c)
{
	c->job = calloc(1, sizeof(*c->job));
	if (c->job)
		c->request = request_new(s, &s->current);
	if (!c->job || !c->request) {
		free(c->job);
		c->job = NULL;
		request_fail(s, c, &s->current, -ENOMEM);
		return;
	}
	paste_body_init(&c->body);
	c->state = WAIT_JOB;
	link_append(&s->jobs, &c->body_link);
}

void job_free(struct connection *c)
{
	free(c->job);
	c->job = NULL;
}

static void answer_job(struct service *s, struct connection *c)
{
	struct text t = {0};

	text_string(&t, "{\"deleted\":");
	text_decimal(&t, c->job->deleted);
	text_string(&t, "}\n");
	request_answer_text(s, c, c->request, 200, &t,
			    SITE(delete_prefix_waits_for_round) ? c->job->round : 0);
}

/* One step of the job that waited longest. */
void jobs_step(struct service *s)
{
	struct connection *c = link_owner(s->jobs.next, struct connection, body_link);
	const struct request *r = c->request;
	int rc = paste_store_delete_prefix(s->store, r->name, r->name_length, JOB_STEP, c->job);

	service_saw_round(s, c->job->round);
	if (rc > 0) {
		link_remove(&c->body_link);
		link_append(&s->jobs, &c->body_link);
		return;
	}
	c->state = READ_HEAD;
	if (rc == 0)
		answer_job(s, c);
	else
		request_fail(s, c, r, rc);
	body_free(s, c);
	job_free(c);
	c->since = s->now.monotonic_us;
	connection_go_on(s, c);
}
