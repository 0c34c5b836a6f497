/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/xdp_landing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "paste/port.h"
#include "port/xdp_socket.h"

#define RELEASE_MS 5000

/* The boot of the machine, as a number: its id's 32 hexadecimal digits, folded. */
static int read_boot(uint64_t *boot)
{
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int error = n < 0 ? -errno : n < 36 ? -EIO : 0;

	if (fd >= 0)
		close(fd);
	if (error)
		return error;
	*boot = (uint64_t)paste_crc(0, text, 18) << 32 | paste_crc(0, text + 18, 18);
	return 0;
}

static int read_space(uint64_t *space)
{
	struct stat st;

	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return -errno;
	*space = st.st_ino;
	return 0;
}

int xdp_landing_make(struct paste_landing *l, const char *ifname, unsigned ifindex, uint32_t first_queue,
		     uint32_t queues)
{
	*l = (struct paste_landing){.interface = ifindex, .first_queue = first_queue, .queues = queues};
	snprintf(l->name, sizeof(l->name), "%s", ifname);
	int ret = read_boot(&l->boot);
	return ret < 0 ? ret : read_space(&l->space);
}

int paste_xdp_released(void *arg, const struct paste_landing *l, struct paste_error *err)
{
	uint64_t boot, space;
	int ret = read_boot(&boot);

	if (ret == 0)
		ret = read_space(&space);
	if (ret < 0)
		return paste_fail(err, ret, "cannot find out whether %s still writes into the region: %s",
				  l->name, strerror(-ret));
	if (boot != l->boot)
		return 0; /* that machine, or that run of it, is gone */
	if (space != l->space)
		return paste_fail(
		    err, -EBUSY,
		    "the region's last owner died while packets from %s of another network namespace were "
		    "landing in it: open it there once, or, when that interface is gone, with `pst serve "
		    "--forget-landings`",
		    l->name);
	for (uint32_t i = 0; i < l->queues; i++)
		if (!xdp_queue_wait_released(l->interface, l->first_queue + i, RELEASE_MS))
			return paste_fail(
			    err, -EBUSY,
			    "the region's last owner died while packets from %s were landing in it, and its "
			    "queue %u is not known to be released: another AF_XDP socket has it, or asking "
			    "is not allowed (root, or CAP_NET_RAW)",
			    l->name, l->first_queue + i);
	return 0;
}
