/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/control_place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "media/media.h"
#include "region/superblock.h"

#define SYSTEM_FOLDER "/run/paste"

struct folders {
	char path[CONTROL_PLACES][CONTROL_PATH_MAX];
	unsigned n;
};

static void uuid_text(char text[37], const uint8_t u[16])
{
	snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

int control_identify(const char *region, struct control_id *id, struct paste_error *err)
{
	struct media_options look = {.path = region, .read_only = true, .size = AREA_START};
	struct superblock_health health;
	struct superblock sb;
	struct media *m;
	struct stat st;

	if (stat(region, &st))
		return paste_fail(err, -errno, "%s: %s", region, strerror(errno));
	int rc = media_open(&look, &m, err);
	if (rc < 0)
		return rc;
	bool known = m->length >= AREA_START && superblock_peek(m, &sb, &health);
	media_close(m);
	if (!known)
		return paste_fail(err, -EBADMSG, "%s: not a region", region);
	uuid_text(id->uuid, sb.uuid);
	id->inode = st.st_ino;
	id->owner = st.st_uid;
	return 0;
}

/* A folder too long for a socket's address is none. */
static void add(struct folders *f, const char *format, const char *text, unsigned uid)
{
	char path[CONTROL_PATH_MAX];
	int n = text ? snprintf(path, sizeof(path), format, text) : snprintf(path, sizeof(path), format, uid);

	if (n <= 0 || n >= (int)sizeof(path) || path[0] != '/' || f->n == CONTROL_PLACES)
		return;
	for (unsigned i = 0; i < f->n; i++)
		if (!strcmp(f->path[i], path))
			return;
	memcpy(f->path[f->n++], path, (size_t)n + 1);
}

static bool add_forced(struct folders *f)
{
	const char *forced = getenv("PST_CONTROL_DIR");

	if (forced && forced[0])
		add(f, "%s", forced, 0);
	return forced && forced[0];
}

static void add_of_user(struct folders *f, uint32_t uid)
{
	add(f, "/run/user/%u/paste", NULL, uid);
	add(f, "/tmp/paste-%u", NULL, uid);
}

static void add_environment(struct folders *f)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (xdg && xdg[0])
		add(f, "%s/paste", xdg, 0);
}

/* "" if it does not fit. */
static void socket_name(char path[CONTROL_PATH_MAX], const char *folder, const struct control_id *id)
{
	int n = snprintf(path, CONTROL_PATH_MAX, "%s/%s-%llu.sock", folder, id->uuid,
			 (unsigned long long)id->inode);

	if (n >= CONTROL_PATH_MAX)
		path[0] = 0;
}

/* Made if it is not there. Nobody but root and we may put something else in the socket's place. */
static bool usable(const char *folder)
{
	mode_t mode = strcmp(folder, SYSTEM_FOLDER) ? 0700 : 0755;
	struct stat st;

	if (mkdir(folder, mode) && errno != EEXIST)
		return false;
	if (lstat(folder, &st) || !S_ISDIR(st.st_mode) || (st.st_uid && st.st_uid != geteuid()) ||
	    (st.st_mode & 022))
		return false;
	return !access(folder, W_OK | X_OK);
}

int control_choose(const struct control_id *id, char path[CONTROL_PATH_MAX], struct paste_error *err)
{
	const char *systemd = getenv("RUNTIME_DIRECTORY");
	struct folders f = {.n = 0};

	if (!add_forced(&f)) {
		if (systemd && systemd[0] && !strchr(systemd, ':'))
			add(&f, "%s", systemd, 0);
		add(&f, "%s", SYSTEM_FOLDER, 0);
		add_environment(&f);
		add_of_user(&f, geteuid());
	}
	for (unsigned i = 0; i < f.n; i++) {
		socket_name(path, f.path[i], id);
		if (path[0] && usable(f.path[i]))
			return 0;
	}
	return paste_fail(
	    err, -EACCES,
	    "no folder for the control socket, among them %s: each is missing or not ours alone",
	    f.n ? f.path[0] : "$PST_CONTROL_DIR, which is too long");
}

unsigned control_candidates(const struct control_id *id, char paths[CONTROL_PLACES][CONTROL_PATH_MAX])
{
	struct folders f = {.n = 0};
	unsigned n = 0;

	if (!add_forced(&f)) {
		add(&f, "%s", SYSTEM_FOLDER, 0);
		add_environment(&f);
		add_of_user(&f, geteuid());
		add_of_user(&f, id->owner);
	}
	for (unsigned i = 0; i < f.n; i++) {
		socket_name(paths[n], f.path[i], id);
		n += paths[n][0] != 0;
	}
	return n;
}
