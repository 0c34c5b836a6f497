/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples.h"

static int steer(void *arg, const struct paste_xdp_rule *rule, bool take)
{
	struct example_link *l = arg;

	return take ? paste_xdp_take(l->port, rule) : paste_xdp_leave(l->port, rule);
}

static int neighbour(void *arg, const uint8_t address[16], uint8_t mac[6])
{
	memcpy(mac, ((struct example_link *)arg)->mac, 6);
	return 0;
}

/* The sender on the other end leaves checksums to a device that is not there. */
static bool is_veth(const char *interface)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	bool veth = ioctl(fd, SIOCETHTOOL, &request) == 0 && strcmp(info.driver, "veth") == 0;
	close(fd);
	return veth;
}

int example_link_open(struct paste_region *region, const char *interface, struct example_link *l,
		      struct paste_error *err)
{
	struct paste_xdp_options xdp = {.ifname = interface};
	struct paste_tcp_options tcp = {
	    .bare_sums = is_veth(interface), .steer = steer, .neighbour = neighbour, .arg = l};
	int ret = paste_xdp_open(region, &xdp, &l->port, err);

	if (ret < 0)
		return ret;
	tcp.port = l->port;
	memcpy(tcp.address4, l->address, 16);
	ret = paste_tcp_open(region, &tcp, &l->stack, err);
	if (ret < 0)
		paste_port_close(l->port);
	return ret;
}

void example_link_close(struct example_link *l)
{
	paste_stack_close(l->stack);
	paste_port_close(l->port);
}

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	stop = 1;
}

int example_serve(int argc, char **argv,
		  int (*round)(struct paste_stack *stack, struct paste_store *store, int64_t timeout_us))
{
	bool spin = argc == 5 && strcmp(argv[4], "spin") == 0;
	struct paste_open_options open = {.path = argc > 1 ? argv[1] : NULL, .released = paste_xdp_released};
	struct example_link link = {NULL};
	struct paste_error err = {{0}};
	struct paste_store *store;
	int ret = 0;

	if (argc != 4 && !spin) {
		fprintf(stderr, "usage: %s REGION INTERFACE HOST:PORT [spin]\n", argv[0]);
		return 2;
	}
	if (paste_store_open(&open, &store, &err) < 0 ||
	    example_link_open(paste_store_region(store), argv[2], &link, &err) < 0 ||
	    paste_stack_listen(link.stack, argv[3], NULL, 0, &err) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	puts("ready");
	fflush(stdout);
	while (ret >= 0 && !stop)
		ret = round(link.stack, store, spin ? 0 : 100000);
	example_link_close(&link);
	return paste_store_close(store) < 0 || ret < 0;
}
