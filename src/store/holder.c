/* SPDX-License-Identifier: BSD-2-Clause */
/* Who holds a region for writing, and whether it still lives. */
#include "store/holder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "region/superblock.h"

#define LOCK_WAIT_MS 5000
#define LOCK_LOOKS 3      /* one that was killed just now does not look so yet */
#define PROCESS_EXITING 4 /* the kernel's PF_EXITING */

struct holder {
	uint64_t pid; /* 0: unknown */
	char host[64];
};

/* Who holds it stands in the superblock, which is read without the lock. */
static struct holder find_holder(const struct media_options *mo)
{
	struct media_options look = *mo;
	struct holder h = {0};
	struct media *m;
	struct superblock sb;
	struct superblock_health health;

	look.read_only = true;
	look.size = AREA_START; /* the superblock will do */
	if (media_open(&look, &m, NULL) < 0)
		return h;
	if (m->length >= AREA_START && superblock_peek(m, &sb, &health)) {
		h.pid = sb.owner_pid;
		memcpy(h.host, sb.owner_host, sizeof(h.host) - 1);
	}
	media_close(m);
	return h;
}

/* Killed, but not gone: it gives its memory back, or its parent has not asked what became of it (proc(5),
 * stat). */
static bool is_ending(uint64_t pid)
{
	unsigned long flags = 0;
	char path[40], line[512], state = 0;

	snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	/* Its name stands in parentheses, and may have some itself. */
	const char *behind = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	if (!behind || sscanf(behind + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2)
		return false;
	return state == 'Z' || state == 'X' || (flags & PROCESS_EXITING);
}

/* The process that took the region is gone, or unknown. On another host it cannot be asked. */
static bool holder_is_dead(const struct holder *h)
{
	char here[64] = {0};

	gethostname(here, sizeof(here) - 1);
	if (h->pid == 0)
		return true;
	if (strcmp(h->host, here) != 0)
		return false;
	return (kill((pid_t)h->pid, 0) < 0 && errno == ESRCH) || is_ending(h->pid);
}

static int busy(const char *path, const struct holder *h, struct paste_error *err)
{
	if (h->pid == 0)
		return paste_fail(err, -EBUSY, "%s: another process has it open for writing", path);
	return paste_fail(err, -EBUSY, "%s: process %llu on %s has it open for writing", path,
			  (unsigned long long)h->pid, h->host[0] ? h->host : "this host");
}

/* The kernel keeps a dead writer's lock until its last write in flight is over: some milliseconds, but a
 * restart after a crash is faster. Wait for it, and only for it. */
int holder_media_open(const struct media_options *mo, struct media **m, struct paste_error *err)
{
	int ret = -EBUSY, alive = 0;

	for (int waited_ms = 0; waited_ms <= LOCK_WAIT_MS; waited_ms += 10) {
		ret = media_open(mo, m, err);
		if (ret != -EBUSY)
			return ret;
		struct holder h = find_holder(mo);
		alive = holder_is_dead(&h) ? 0 : alive + 1;
		if (alive == LOCK_LOOKS || waited_ms == LOCK_WAIT_MS)
			return busy(mo->path, &h, err);
		usleep(10 * 1000);
	}
	return ret;
}
