/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "port/steer_object.h"

struct steer {
	struct bpf_object *object;
	int program, link; /* descriptors; link is -1 while not attached */
	int rules, sockets, counts;
	uint32_t queues;
	bool native;
	int cpus;
};

#define LOG_BYTES 65536

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* The library prints by itself otherwise; what is of interest comes back in `log`. */
static int load(struct steer *s, const struct steer_options *o, char *log)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_options, .object_name = "pst_steer", .kernel_log_buf = log,
		    .kernel_log_size = log ? LOG_BYTES : 0);

	libbpf_set_print(quiet);
	s->object = bpf_object__open_mem(steer_object, sizeof(steer_object), &open_options);
	if (!s->object)
		return -errno;
	struct bpf_program *program = bpf_object__find_program_by_name(s->object, "steer");
	struct bpf_map *sockets = bpf_object__find_map_by_name(s->object, "sockets");
	struct bpf_map *counts = bpf_object__find_map_by_name(s->object, "counts");
	if (!program || !sockets || !counts)
		return -EINVAL;
	bpf_map__set_max_entries(sockets, o->queues);
	bpf_map__set_max_entries(counts, o->queues);
	if (o->fragments)
		bpf_program__set_flags(program, bpf_program__flags(program) | BPF_F_XDP_HAS_FRAGS);
	int ret = bpf_object__load(s->object);
	if (ret < 0)
		return ret;
	s->program = bpf_program__fd(program);
	s->sockets = bpf_map__fd(sockets);
	s->counts = bpf_map__fd(counts);
	s->rules = bpf_object__find_map_fd_by_name(s->object, "rules");
	return 0;
}

/* The verifier's last line that says something. */
static const char *last_words(char *log)
{
	size_t n = strlen(log);

	while (n > 0 && log[n - 1] == '\n')
		log[--n] = 0;
	/* The very last one is a statistic. */
	char *line = strrchr(log, '\n');
	if (line && !strncmp(line + 1, "processed ", 10)) {
		*line = 0;
		line = strrchr(log, '\n');
	}
	return line ? line + 1 : log;
}

static int refuse_load(const struct steer_options *o, int code, char *log, struct paste_error *err)
{
	if (code == -EPERM)
		return paste_fail(
		    err, code,
		    "%s: the kernel does not let this process load an XDP program: run it as root, or with "
		    "the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW",
		    o->ifname);
	return paste_fail(err, code, "%s: the kernel refused the XDP program: %s%s%.200s", o->ifname,
			  strerror(-code), log[0] ? ": " : "", last_words(log));
}

int steer_find_attached(int ifindex, struct steer_attached *attached)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);

	*attached = (struct steer_attached){0};
	int ret = bpf_xdp_query(ifindex, 0, &query);
	if (ret < 0)
		return ret;
	if (query.attach_mode == XDP_ATTACHED_NONE)
		return 0;
	attached->id = query.drv_prog_id  ? query.drv_prog_id
		       : query.hw_prog_id ? query.hw_prog_id
					  : query.skb_prog_id;
	if (!attached->id)
		attached->id = query.prog_id;
	attached->hook = query.drv_prog_id ? "native" : query.hw_prog_id ? "hardware" : "generic";
	if (query.attach_mode == XDP_ATTACHED_DRV)
		attached->hook = "native";
	int fd = bpf_prog_get_fd_by_id(attached->id);
	if (fd >= 0) {
		if (!bpf_obj_get_info_by_fd(fd, &info, &size))
			snprintf(attached->name, sizeof(attached->name), "%s", info.name);
		close(fd);
	}
	return 1;
}

static int refuse_busy(const struct steer_options *o, struct paste_error *err)
{
	struct steer_attached other;

	if (steer_find_attached(o->ifindex, &other) <= 0)
		return paste_fail(err, -EBUSY, "%s: another XDP program was attached a moment ago; try again",
				  o->ifname);
	return paste_fail(
	    err, -EBUSY,
	    "%s: another XDP program is attached (id %u%s%s%s, %s): an interface has room for one. Stop "
	    "its owner, or take it off with `ip link set dev %s xdp%s off`, or use another interface",
	    o->ifname, other.id, other.name[0] ? ", '" : "", other.name, other.name[0] ? "'" : "", other.hook,
	    o->ifname, strcmp(other.hook, "generic") ? "" : "generic");
}

static int attach_at(struct steer *s, int ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int link = bpf_link_create(s->program, ifindex, BPF_XDP, &options);

	if (link < 0)
		return link;
	s->link = link;
	return 0;
}

static int attach(struct steer *s, const struct steer_options *o, struct paste_error *err)
{
	int ret = o->native ? attach_at(s, o->ifindex, XDP_FLAGS_DRV_MODE) : -EOPNOTSUPP;

	s->native = ret == 0;
	/* EEXIST: the other hook has a program. */
	if (ret == -EBUSY || ret == -EEXIST)
		return refuse_busy(o, err);
	if (ret < 0 && o->generic)
		ret = attach_at(s, o->ifindex, XDP_FLAGS_SKB_MODE);
	if (ret == -EBUSY || ret == -EEXIST)
		return refuse_busy(o, err);
	if (ret == -ERANGE)
		return paste_fail(
		    err, ret,
		    "%s: its driver does not run XDP at this MTU: lower it, or ask for packets over several "
		    "buffers",
		    o->ifname);
	if (ret == -EOPNOTSUPP && !o->generic)
		return paste_fail(err, ret, "%s: its driver has no XDP: ask for the generic mode", o->ifname);
	if (ret < 0)
		return paste_fail(err, ret, "%s: cannot attach the XDP program: %s", o->ifname,
				  strerror(-ret));
	return 0;
}

int steer_open(const struct steer_options *options, struct steer **steer, struct paste_error *err)
{
	struct steer *s = calloc(1, sizeof(*s));
	char *log = calloc(1, LOG_BYTES);

	if (!s || !log) {
		free(s);
		free(log);
		return paste_fail(err, -ENOMEM, "out of memory");
	}
	s->link = -1;
	s->queues = options->queues;
	s->cpus = libbpf_num_possible_cpus();
	int ret = s->cpus < 0 ? s->cpus : load(s, options, NULL);
	if (ret < 0 && ret != -EPERM) {
		/* Again, to hear why. */
		bpf_object__close(s->object);
		ret = load(s, options, log);
	}
	if (ret < 0)
		ret = refuse_load(options, ret, log, err);
	else if (options->ifindex)
		ret = attach(s, options, err);
	free(log);
	if (ret < 0) {
		steer_close(s);
		return ret;
	}
	*steer = s;
	return 0;
}

void steer_close(struct steer *s)
{
	if (!s)
		return;
	if (s->link >= 0)
		close(s->link);
	bpf_object__close(s->object);
	free(s);
}

bool steer_is_native(const struct steer *s)
{
	return s->native;
}

int steer_program(const struct steer *s)
{
	return s->program;
}

static struct steer_key key_of(const struct paste_xdp_rule *rule)
{
	struct steer_key key = {
	    .port = {(uint8_t)(rule->port >> 8), (uint8_t)rule->port},
	    .protocol = rule->protocol,
	};

	memcpy(key.address, rule->address, sizeof(key.address));
	return key;
}

int steer_take(struct steer *s, const struct paste_xdp_rule *rule)
{
	struct steer_key key = key_of(rule);
	uint8_t one = 1;
	int ret = bpf_map_update_elem(s->rules, &key, &one, BPF_ANY);

	return ret == -E2BIG ? -ENOSPC : ret;
}

int steer_leave(struct steer *s, const struct paste_xdp_rule *rule)
{
	struct steer_key key = key_of(rule);

	return bpf_map_delete_elem(s->rules, &key);
}

int steer_socket(struct steer *s, uint32_t queue, int fd)
{
	return bpf_map_update_elem(s->sockets, &queue, &fd, BPF_ANY);
}

void steer_counts(const struct steer *s, uint32_t queue, struct steer_counts *counts)
{
	struct steer_counts *each = calloc((size_t)s->cpus, sizeof(*each));

	*counts = (struct steer_counts){0};
	if (each && !bpf_map_lookup_elem(s->counts, &queue, each)) {
		for (int i = 0; i < s->cpus; i++) {
			counts->taken += each[i].taken;
			counts->absent += each[i].absent;
			counts->fragments += each[i].fragments;
			counts->passed += each[i].passed;
		}
	}
	free(each);
}
