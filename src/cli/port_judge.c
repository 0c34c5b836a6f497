/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/port_judge.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "port/xdp.h"
#include "region/superblock.h"

#define RING_SLOTS 2048
#define DEFAULT_BUFFER 2048
#define HEADROOM (XDP_KERNEL_HEADROOM + XDP_HEADROOM)

#ifndef CAP_BPF
#define CAP_BPF 39
#endif

/* A reason and its remedy, as one format with a line feed between them. */
static void find(struct port_judgement *j, bool refusal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void find(struct port_judgement *j, bool refusal, const char *format, ...)
{
	char text[512];
	va_list args;

	if (j->findings == JUDGE_FINDINGS)
		return;
	struct port_finding *f = &j->finding[j->findings++];
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	char *remedy = strchr(text, '\n');
	f->refusal = refusal;
	f->remedy[0] = 0;
	if (remedy) {
		*remedy++ = 0;
		snprintf(f->remedy, sizeof(f->remedy), "%.*s", (int)sizeof(f->remedy) - 1, remedy);
	}
	snprintf(f->reason, sizeof(f->reason), "%.*s", (int)sizeof(f->reason) - 1, text);
}

static bool kernel_at_least(unsigned major, unsigned minor)
{
	struct utsname name;
	unsigned a = 0, b = 0;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &a, &b) == 2 &&
	       (a > major || (a == major && b >= minor));
}

static uint64_t capabilities(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long effective = 0;
	char line[256];

	if (!f)
		return geteuid() == 0 ? UINT64_MAX : 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	}
	fclose(f);
	return effective;
}

static void judge_rights(struct port_judgement *j)
{
	uint64_t have = capabilities();
	bool all = have >> CAP_SYS_ADMIN & 1;
	bool bpf = all || (have >> CAP_BPF & 1);
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int code = errno;

	if (fd >= 0)
		close(fd);
	if (fd < 0 && code == EAFNOSUPPORT)
		find(j, true,
		     "this kernel has no AF_XDP\nuse a kernel with CONFIG_XDP_SOCKETS, or serve without "
		     "AF_XDP");
	if (!bpf || !(have >> CAP_NET_ADMIN & 1) || (fd < 0 && code == EPERM))
		find(j, true,
		     "this process may not open AF_XDP sockets and attach XDP programs\n"
		     "run it as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF");
}

static void judge_interface(struct port_judgement *j)
{
	const struct xdp_interface *i = &j->interface;

	if (!i->ethernet)
		find(j, true, "%s is no Ethernet interface\nuse another", j->ifname);
	else if (!i->up)
		find(j, false, "%s is down: nothing arrives\nip link set dev %s up", j->ifname, j->ifname);
	else if (!i->carrier)
		find(j, false, "%s has no carrier: nothing arrives\nplug it in, or set the other end up", j->ifname);
	j->attached = steer_find_attached((int)i->index, &j->program);
	if (j->attached > 0)
		find(j, true,
		     "another XDP program is attached (id %u%s%s, %s hook): an interface has room for one\n"
		     "stop its owner, or ip link set dev %s xdp%s off",
		     j->program.id, j->program.name[0] ? ", " : "", j->program.name, j->program.hook,
		     j->ifname, strcmp(j->program.hook, "generic") ? "" : "generic");
	if (i->vlan_stripping)
		find(j, false,
		     "the device takes VLAN tags out of frames: those of a VLAN look like untagged ones\n"
		     "if there are VLANs on it: ethtool -K %s rxvlan off",
		     j->ifname);
}

static void judge_queues(struct port_judgement *j)
{
	const struct xdp_interface *i = &j->interface;

	for (uint32_t q = 0; q < i->queues; q++) {
		int taken = xdp_interface_queue_taken(i->index, q);
		if (taken > 0)
			j->taken++;
		j->taken_known = taken >= 0 && kernel_at_least(6, 14);
	}
	if (j->taken > 0)
		find(j, true,
		     "%u of %u queues belong to AF_XDP sockets of another process\nstop it, or open only "
		     "other queues",
		     j->taken, i->queues);
	if (i->queues > 1)
		find(j, false,
		     "flows are spread over %u queues: a port that does not open all of them misses flows\n"
		     "open all, or have fewer: ethtool -L %s combined 1",
		     i->queues, j->ifname);
}

static void judge_mode(struct port_judgement *j)
{
	const struct xdp_interface *i = &j->interface;
	bool veth = !strcmp(i->driver, "veth");

	j->mode_known = i->features_known;
	j->mode = !i->features_known         ? "copy"
		  : i->zero_copy             ? "zero-copy"
		  : i->native && i->redirect ? "copy"
					     : "generic";
	j->fragments = kernel_at_least(6, 6);
	if (i->zero_copy && i->zero_copy_segments <= 1)
		j->fragments = false;
	j->checksum = kernel_at_least(6, 11) && (!i->zero_copy || i->device_checksum);
	if (!strcmp(j->mode, "generic"))
		find(j, false,
		     "the driver has no XDP: the kernel makes a socket buffer of every packet first\n"
		     "for more speed, a device whose driver has it");
	if (veth)
		find(j, false,
		     "a kernel at the other end sends frames without checksums\n"
		     "ethtool -K tx off at its end, or let the port accept them");
}

static void judge_mtu(struct port_judgement *j)
{
	uint32_t most = xdp_interface_mtu_for(4096, HEADROOM);
	const struct xdp_interface *i = &j->interface;

	j->mtu_most = xdp_interface_mtu_for(j->buffer_size, HEADROOM);
	if (i->mtu <= j->mtu_most)
		return;
	if (j->fragments)
		find(j, false,
		     "packets of its MTU, %u, take several buffers of %u bytes\nif that is not wanted: ip "
		     "link set dev "
		     "%s mtu %u",
		     i->mtu, j->buffer_size, j->ifname, j->mtu_most);
	else if (i->zero_copy && kernel_at_least(6, 6))
		find(j, false,
		     "packets of its MTU, %u, do not fit into a buffer, so that zero-copy mode cannot be "
		     "had, and copy mode "
		     "is\nip link set dev %s mtu %u",
		     i->mtu, j->ifname, j->mtu_most);
	else
		find(j, true,
		     "packets of its MTU, %u, do not fit into a buffer of %u bytes\nip link set dev %s mtu "
		     "%u%s",
		     i->mtu, j->buffer_size, j->ifname, j->mtu_most,
		     j->buffer_size < 4096 && i->mtu <= most ? ", or a region with --buffer-size 4096" : "");
}

/* Only the start of the region is mapped, so that it costs nothing, in use or not. */
static int look_at_region(struct port_judgement *j, const char *path, struct paste_error *err)
{
	struct media_options options = {.path = path, .read_only = true, .size = AREA_START};
	struct superblock_health health;
	struct superblock sb;
	struct paste_error why = {{0}};
	struct media *m;
	int ret = media_open(&options, &m, err);

	if (ret < 0)
		return ret;
	if (!superblock_peek(m, &sb, &health)) {
		media_close(m);
		return paste_fail(err, -EBADMSG, "%s: is no region", path);
	}
	j->region = (struct port_region){path, sb.area[0].length, sb.buffer_size, m->backing};
	j->buffer_size = sb.buffer_size;
	if (xdp_memory_check(m, NULL, j->region.bytes, sb.buffer_size, &why) < 0)
		find(j, true, "%s", why.text);
	media_close(m);
	return 0;
}

int port_judge(struct port_judgement *j, const char *ifname, const char *region_path, struct paste_error *err)
{
	*j = (struct port_judgement){.ifname = ifname, .buffer_size = DEFAULT_BUFFER};
	int ret = xdp_interface_find(ifname, &j->interface, err);

	if (ret < 0)
		return ret;
	judge_rights(j);
	judge_interface(j);
	judge_queues(j);
	judge_mode(j);
	if (region_path) {
		ret = look_at_region(j, region_path, err);
		if (ret < 0)
			return ret;
	}
	judge_mtu(j);
	j->memory_per_queue =
	    xdp_memory_per_queue(region_path ? j->region.bytes : 1ull << 30, j->buffer_size, RING_SLOTS);
	return 0;
}

bool port_refused(const struct port_judgement *j)
{
	for (unsigned i = 0; i < j->findings; i++) {
		if (j->finding[i].refusal)
			return true;
	}
	return false;
}
