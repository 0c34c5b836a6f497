/* SPDX-License-Identifier: BSD-2-Clause */
/* The control request "dump": a snapshot, in steps between turns. The control's gate sees to it that what it
 * shows is durable. */
#include "cli/dump_write.h"
#include "cli/serve_run.h"

static int begin(void *arg, const char *argument, void **state, struct paste_error *err)
{
	struct dump_write *w;
	int rc = dump_write_begin(&w, ((struct serve *)arg)->store, err);

	*state = w;
	return rc;
}

static int step(void *state, FILE *out, struct paste_error *err)
{
	return dump_write_step(state, out, err);
}

static void end(void *state)
{
	dump_write_end(state);
}

void serve_register_dump(struct serve *o)
{
	static const struct control_stream dump = {begin, step, end};

	control_register_stream(o->control, "dump", &dump, o);
}
