/* SPDX-License-Identifier: BSD-2-Clause */
#include "port/xdp_interface.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "port/xdp_netdev.h"

#define FRAME_HEADER 18 /* Ethernet's and a VLAN tag */

static int ask(int fd, struct ifreq *request, unsigned long what)
{
	return ioctl(fd, what, request) < 0 ? -errno : 0;
}

static int ask_ethtool(int fd, struct ifreq *request, void *command)
{
	request->ifr_data = command;
	return ask(fd, request, SIOCETHTOOL);
}

static void find_queues(int fd, struct ifreq *request, struct xdp_interface *i)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	i->queues = i->transmit_queues = 1;
	if (ask_ethtool(fd, request, &channels) < 0)
		return; /* a driver without queues to speak of */
	i->queues = channels.combined_count + channels.rx_count;
	i->transmit_queues = channels.combined_count + channels.tx_count;
	if (!i->queues)
		i->queues = 1;
	if (!i->transmit_queues)
		i->transmit_queues = 1;
}

/* Offloads have numbers that differ between kernels, and names that do not. */
static bool feature_on(const struct ethtool_gstrings *names, const struct ethtool_gfeatures *features,
		       const char *name)
{
	for (uint32_t k = 0; k < names->len; k++) {
		if (!strncmp((const char *)names->data + (size_t)k * ETH_GSTRING_LEN, name, ETH_GSTRING_LEN))
			return k / 32 < features->size && (features->features[k / 32].active >> (k % 32) & 1);
	}
	return false;
}

/* How many offloads this kernel knows; 0 if it does not tell. */
static uint32_t count_features(int fd, struct ifreq *request)
{
	struct ethtool_sset_info *info = calloc(1, sizeof(*info) + sizeof(info->data[0]));
	uint32_t count = 0;

	if (!info)
		return 0;
	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1ull << ETH_SS_FEATURES;
	if (ask_ethtool(fd, request, info) == 0 && info->sset_mask)
		count = info->data[0];
	free(info);
	return count;
}

static void find_offloads(int fd, struct ifreq *request, struct xdp_interface *i)
{
	uint32_t count = count_features(fd, request), words = (count + 31) / 32;
	struct ethtool_gstrings *names = calloc(1, sizeof(*names) + (size_t)count * ETH_GSTRING_LEN);
	struct ethtool_gfeatures *features =
	    calloc(1, sizeof(*features) + words * sizeof(features->features[0]));

	if (names && features && count > 0) {
		names->cmd = ETHTOOL_GSTRINGS;
		names->string_set = ETH_SS_FEATURES;
		names->len = count;
		features->cmd = ETHTOOL_GFEATURES;
		features->size = words;
		if (ask_ethtool(fd, request, names) == 0 && ask_ethtool(fd, request, features) == 0) {
			i->receive_checksum = feature_on(names, features, "rx-checksum");
			i->transmit_checksum = feature_on(names, features, "tx-checksum-ip-generic") ||
					       feature_on(names, features, "tx-checksum-ipv4");
			i->vlan_stripping = feature_on(names, features, "rx-vlan-hw-parse");
			i->segmentation = feature_on(names, features, "tx-tcp-segmentation");
		}
	}
	free(names);
	free(features);
}

static int find_link(int fd, struct ifreq *request, struct xdp_interface *i)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	int ret = ask(fd, request, SIOCGIFMTU);

	if (ret < 0)
		return ret;
	i->mtu = (uint32_t)request->ifr_mtu;
	ret = ask(fd, request, SIOCGIFFLAGS);
	if (ret < 0)
		return ret;
	i->up = request->ifr_flags & IFF_UP;
	i->carrier = i->up && (request->ifr_flags & IFF_RUNNING);
	ret = ask(fd, request, SIOCGIFHWADDR);
	if (ret < 0)
		return ret;
	i->ethernet = request->ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(i->mac, request->ifr_hwaddr.sa_data, sizeof(i->mac));
	if (ask_ethtool(fd, request, &driver) == 0) {
		memcpy(i->driver, driver.driver, sizeof(i->driver));
		i->driver[sizeof(i->driver) - 1] = 0;
	}
	return 0;
}

int xdp_interface_find(const char *name, struct xdp_interface *i, struct paste_error *err)
{
	struct ifreq request = {0};

	*i = (struct xdp_interface){.index = if_nametoindex(name)};
	if (!i->index || strlen(name) >= sizeof(request.ifr_name))
		return paste_fail(err, -ENODEV,
				  "there is no network interface %s here (`ip link` lists them)", name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return paste_fail(err, -errno, "cannot open a socket: %s", strerror(errno));
	strcpy(request.ifr_name, name);
	int ret = find_link(fd, &request, i);
	if (ret == 0) {
		find_queues(fd, &request, i);
		find_offloads(fd, &request, i);
	}
	close(fd);
	if (ret < 0)
		return paste_fail(err, ret, "%s: cannot ask what it is: %s", name, strerror(-ret));
	xdp_netdev_features(i);
	return 0;
}

int xdp_interface_queue_taken(unsigned index, uint32_t queue)
{
	return xdp_netdev_queue_taken(index, queue);
}

bool xdp_interface_is_local(const uint8_t address[16])
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0;

	if (fd < 0)
		return true; /* no IPv6 here: whoever uses it will find out */
	memcpy(&to.sin6_addr, address, sizeof(to.sin6_addr));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	bool local = bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno != EADDRNOTAVAIL;
	close(fd);
	return local;
}

uint32_t xdp_interface_mtu_for(uint32_t chunk, uint32_t headroom)
{
	return chunk - headroom - FRAME_HEADER;
}
