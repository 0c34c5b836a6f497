/* SPDX-License-Identifier: BSD-2-Clause */
#include "veth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS 10000

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "veth: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * In the namespace that this process is in, interfaces to come look for no duplicates of their addresses (RFC
 * 4862 5.4). It takes up to two seconds, in which an interface's link-local address cannot be used, and the
 * kernel looks for neighbours from there: it gives up after three seconds of not having asked.
 */
static bool trust_addresses(void)
{
	static const char *const paths[] = {"/proc/sys/net/ipv6/conf/all/accept_dad",
					    "/proc/sys/net/ipv6/conf/default/accept_dad"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = open(paths[i], O_WRONLY | O_CLOEXEC);
		bool is_done = fd >= 0 && write(fd, "0", 1) == 1;
		if (fd >= 0)
			close(fd);
		if (!is_done)
			return false;
	}
	return true;
}

bool veth_namespaces(struct veth *v, const char **why)
{
	*why = "network namespaces and AF_XDP need root";
	if (geteuid() != 0)
		return false;
	*why = "the kernel does not let this process make network namespaces";
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	v->there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (v->there < 0)
		return false;
	bool is_trusted = trust_addresses();
	if (unshare(CLONE_NEWNET) < 0)
		return false;
	v->here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	*why = "the kernel has no IPv6, or no /proc";
	if (!is_trusted || !trust_addresses())
		return false;
	*why = "the command `ip` (iproute2) is not installed";
	return v->here >= 0 && veth_ip(v->here, "link set dev lo up") == 0 &&
	       veth_ip(v->there, "link set dev lo up") == 0;
}

int veth_ip(int ns, const char *format, ...)
{
	char command[512] = "exec ip ";
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command + strlen(command), sizeof(command) - strlen(command), format, args);
	va_end(args);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		if (setns(ns, CLONE_NEWNET) == 0)
			execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			die("waitpid");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must_ip(int ns, const char *command)
{
	if (veth_ip(ns, "%s", command) != 0) {
		fprintf(stderr, "veth: ip %s failed\n", command);
		exit(1);
	}
}

/*
 * Is there a way to that address? The kernel adds an interface's route of IPv6 last when its carrier comes:
 * after IFF_RUNNING is to be seen, and after its queues have begun to send what they are given.
 */
static bool settled(const struct veth *v, int ns, const char *to)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	int fd = veth_socket(v, ns, AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, to, &address.sin6_addr);
	bool is_way = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return is_way;
}

void veth_make(const struct veth *v, unsigned queues, unsigned mtu)
{
	static const struct timespec ms = {.tv_nsec = 1000000};
	char add[512];

	veth_ip(v->here, "link del dev " VETH_HERE " 2>/dev/null");
	/* The other end is made with this process' descriptor of the other namespace. */
	snprintf(
	    add, sizeof(add),
	    "link add " VETH_HERE
	    " address 02:00:00:00:00:01 mtu %u numrxqueues %u numtxqueues %u type veth peer name " VETH_THERE
	    " address 02:00:00:00:00:02 mtu %u numrxqueues %u numtxqueues %u",
	    mtu, queues, queues, mtu, queues, queues);
	must_ip(v->here, add);
	snprintf(add, sizeof(add), "link set dev " VETH_THERE " netns /proc/%d/fd/%d", (int)getpid(),
		 v->there);
	must_ip(v->here, add);
	must_ip(v->here, "addr add 10.1.1.1/24 dev " VETH_HERE);
	must_ip(v->here, "addr add fd00::1/64 dev " VETH_HERE " nodad");
	must_ip(v->there, "addr add 10.1.1.2/24 dev " VETH_THERE);
	must_ip(v->there, "addr add fd00::2/64 dev " VETH_THERE " nodad");
	must_ip(v->here, "link set dev " VETH_HERE " up");
	must_ip(v->there, "link set dev " VETH_THERE " up");
	for (int i = 0; !(settled(v, v->here, "fd00::2") && settled(v, v->there, "fd00::1")); i++) {
		if (i == SETTLE_MS) {
			errno = ETIMEDOUT;
			die("the pair of interfaces does not come up");
		}
		nanosleep(&ms, NULL);
	}
}

int veth_socket(const struct veth *v, int ns, int domain, int type, int protocol)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		die("setns");
	int fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		die("socket");
	if (setns(v->here, CLONE_NEWNET) < 0)
		die("setns");
	return fd;
}

int veth_packet_socket(const struct veth *v, int ns, const char *ifname, uint16_t type)
{
	struct ifreq request = {0};
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(type)};
	int bytes = 16 << 20;
	int fd = veth_socket(v, ns, AF_PACKET, SOCK_RAW, 0);

	strcpy(request.ifr_name, ifname);
	if (ioctl(fd, SIOCGIFINDEX, &request) < 0)
		die(ifname);
	address.sll_ifindex = request.ifr_ifindex;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("bind to an interface");
	return fd;
}

void veth_turn_off(const struct veth *v, int ns, const char *ifname, uint32_t command)
{
	struct ethtool_value off = {.cmd = command};
	struct ifreq request = {.ifr_data = (void *)&off};
	int fd = veth_socket(v, ns, AF_INET, SOCK_DGRAM, 0);

	strcpy(request.ifr_name, ifname);
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		die("turn off offloads");
	close(fd);
}

void veth_plain_offloads(const struct veth *v, int ns, const char *ifname)
{
	veth_turn_off(v, ns, ifname, ETHTOOL_STXCSUM);
	veth_turn_off(v, ns, ifname, ETHTOOL_STSO);
	veth_turn_off(v, ns, ifname, ETHTOOL_SGSO);
}
