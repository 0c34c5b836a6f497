/* SPDX-License-Identifier: BSD-2-Clause */
/* The token file of `pst serve`. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/logfmt.h"
#include "cli/serve_run.h"

#define FILE_MAX (64 * 1024)

/* Secrets that others can read are none, and what others can write says nothing. A group may read it: so it
 * is root's, and the service's user, who is in the group, can read it again. */
static int check_owner(int fd, const char *file, struct paste_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return paste_fail(err, -errno, "%s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return paste_fail(err, -EINVAL, "%s: not a file", file);
	if (st.st_uid && st.st_uid != geteuid())
		return paste_fail(err, -EPERM, "%s: it belongs to another user; chown it", file);
	if (st.st_mode & 027)
		return paste_fail(err, -EPERM, "%s: others can read or write it; chmod 600 or 640", file);
	if (st.st_size > FILE_MAX)
		return paste_fail(err, -EFBIG, "%s: larger than 64 KiB", file);
	return 0;
}

int serve_load_tokens(const char *file, struct tokens **tokens, struct paste_error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
	char *text = malloc(FILE_MAX);
	ssize_t n = 0;

	if (fd < 0)
		rc = paste_fail(err, -errno, "%s: %s", file, strerror(errno));
	else if (!text)
		rc = paste_fail(err, -ENOMEM, "%s: no memory", file);
	else if ((rc = check_owner(fd, file, err)) == 0 && (n = read(fd, text, FILE_MAX)) < 0)
		rc = paste_fail(err, -errno, "%s: %s", file, strerror(errno));
	if (rc == 0)
		rc = tokens_parse(tokens, file, text, (size_t)n, err);
	if (n > 0)
		explicit_bzero(text, (size_t)n);
	free(text);
	if (fd >= 0)
		close(fd);
	return rc;
}

void serve_reload_tokens(struct serve *o)
{
	struct paste_error error = {{0}};
	struct tokens *fresh;
	struct line l;

	if (!o->options.token_file)
		return;
	if (serve_load_tokens(o->options.token_file, &fresh, &error) < 0) {
		line_event(LINE_ERROR, "the token file is no good: the tokens stay as they were", "error",
			   error.text);
		return;
	}
	for (uint32_t i = 0; i < o->options.workers; i++)
		if (o->worker[i].service)
			service_change_tokens(o->worker[i].service, fresh);
	tokens_free(o->tokens);
	o->tokens = fresh;
	line_begin(&l, LINE_INFO, "tokens read again");
	line_text(&l, "file", o->options.token_file);
	line_number(&l, "tokens", tokens_count(fresh));
	line_end(&l);
}
