/* SPDX-License-Identifier: BSD-2-Clause */
/* The user that a service becomes. */
#include "cli/confine.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CAPABILITIES 64 /* numbers beyond the last one are refused by the kernel */

static const struct passwd *look_up(const char *name)
{
	char *end;
	unsigned long uid = strtoul(name, &end, 10);
	const struct passwd *p = getpwnam(name);

	return p || !name[0] || *end ? p : getpwuid((uid_t)uid);
}

int confine_find(const char *name, struct confine_user *user, struct paste_error *err)
{
	const struct passwd *p = look_up(name);

	if (!p)
		return paste_fail(err, -ENOENT, "there is no user %s", name);
	user->uid = p->pw_uid;
	user->gid = p->pw_gid;
	user->n = CONFINE_GROUPS;
	if (getgrouplist(p->pw_name, p->pw_gid, user->groups, &user->n) < 0)
		return paste_fail(err, -E2BIG, "user %s is in more than %d groups", name, CONFINE_GROUPS);
	return 0;
}

static int failed(struct paste_error *err, const char *what)
{
	return paste_fail(err, -errno, "cannot give up root's rights: %s: %s", what, strerror(errno));
}

int confine_bounds(struct paste_error *err)
{
	for (int i = 0; i < CAPABILITIES; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) && errno != EINVAL)
			return failed(err, "capabilities");
	return 0;
}

int confine_become(const struct confine_user *user, struct paste_error *err)
{
	/* Also of what could be started later. Only root may, so before it is none. */
	int rc = confine_bounds(err);

	if (rc < 0)
		return rc;
	if (setgroups((size_t)user->n, user->groups))
		return failed(err, "setgroups");
	if (setresgid(user->gid, user->gid, user->gid))
		return failed(err, "setresgid");
	/* Which takes all capabilities away, as the real, effective and saved user are all none of root's. */
	if (setresuid(user->uid, user->uid, user->uid))
		return failed(err, "setresuid");
	uid_t r, e, s;
	if (user->uid &&
	    (getresuid(&r, &e, &s) || r != user->uid || e != user->uid || s != user->uid || !setuid(0)))
		return paste_fail(err, -EPERM, "root's rights did not go");
	return 0;
}

int confine_no_new_privileges(struct paste_error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return paste_fail(err, -errno, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	return 0;
}
