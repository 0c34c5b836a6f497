/* SPDX-License-Identifier: BSD-2-Clause */
/* What `pst serve` gives up before it answers anybody. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/confine.h"
#include "cli/serve_run.h"

/* Its sockets are its new user's, so that this one can be asked for what it serves. */
static int give_sockets(struct serve *o, const struct confine_user *user, struct paste_error *err)
{
	const char *path =
	    o->options.http && !strncmp(o->options.http, "unix:", 5) ? o->options.http + 5 : NULL;

	if (path && lchown(path, user->uid, user->gid))
		return paste_fail(err, -errno, "%s: cannot be given to user %s: %s", path, o->options.user,
				  strerror(errno));
	int rc = o->control ? control_give_to(o->control, user->uid, user->gid) : 0;
	return rc < 0 ? paste_fail(err, rc, "%s: cannot be given to user %s: %s", control_path(o->control),
				   o->options.user, strerror(-rc))
		      : 0;
}

/* What it will have to read again, it must be able to. */
static int can_read_tokens(const struct serve *o, struct paste_error *err)
{
	if (!o->options.token_file || !access(o->options.token_file, R_OK))
		return 0;
	return paste_fail(err, -errno,
			  "%s: user %s cannot read it again (chgrp it to the user's group, mode 640)",
			  o->options.token_file, o->options.user);
}

static int become(struct serve *o, struct paste_error *err)
{
	struct confine_user user;
	int rc = confine_find(o->options.user, &user, err);

	if (rc == 0)
		rc = give_sockets(o, &user, err);
	if (rc == 0)
		rc = confine_become(&user, err);
	return rc == 0 ? can_read_tokens(o, err) : rc;
}

static int limit_calls(struct serve *o, struct paste_error *err)
{
	struct confine_options options = {.files = o->options.token_file != NULL,
					  .packets = o->options.xdp != NULL};
	int rc = confine_no_new_privileges(err);

	return rc == 0 && !o->options.no_seccomp ? confine_filter(&options, err) : rc;
}

int serve_confine(struct serve *o, struct paste_error *err)
{
	int rc = o->options.user ? become(o, err) : 0;

	return rc == 0 ? limit_calls(o, err) : rc;
}

/* Users and groups are the process's; what else there is to give up is each thread's. */
int serve_confine_thread_early(struct serve *o, struct paste_error *err)
{
	return o->options.user ? confine_bounds(err) : 0;
}

int serve_confine_thread(struct serve *o, struct paste_error *err)
{
	return limit_calls(o, err);
}
