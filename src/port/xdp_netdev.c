/* SPDX-License-Identifier: BSD-2-Clause */
/* Each question is one message with a few attributes and one message in answer; libraries for more are not
 * needed. */
#include "port/xdp_netdev.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "port/xdp_compat.h"

struct message {
	struct nlmsghdr head;
	struct genlmsghdr generic;
	uint8_t attributes[4096];
};

static void begin(struct message *m, uint16_t family, uint8_t command)
{
	*m = (struct message){
	    .head = {.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
		     .nlmsg_type = family,
		     .nlmsg_flags = NLM_F_REQUEST,
		     .nlmsg_seq = 1},
	    .generic = {.cmd = command, .version = 1},
	};
}

static void put(struct message *m, uint16_t type, const void *value, size_t bytes)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + bytes), .nla_type = type};
	uint8_t *at = (uint8_t *)m + NLMSG_ALIGN(m->head.nlmsg_len);

	memcpy(at, &attribute, sizeof(attribute));
	memcpy(at + NLA_HDRLEN, value, bytes);
	m->head.nlmsg_len = NLMSG_ALIGN(m->head.nlmsg_len) + NLA_ALIGN(attribute.nla_len);
}

/* The value of an attribute of the answer; NULL if it is not there or shorter than `bytes`. */
static const void *find(const struct message *m, uint16_t type, size_t bytes)
{
	const uint8_t *at = m->attributes, *end = (const uint8_t *)m + m->head.nlmsg_len;
	struct nlattr attribute;

	while (at + NLA_HDRLEN <= end) {
		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > end - at)
			break;
		if ((attribute.nla_type & NLA_TYPE_MASK) == type)
			return attribute.nla_len >= NLA_HDRLEN + bytes ? at + NLA_HDRLEN : NULL;
		at += NLA_ALIGN(attribute.nla_len);
	}
	return NULL;
}

/* Replace the question by its answer. */
static int ask(int fd, struct message *m)
{
	if (send(fd, m, m->head.nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(fd, m, sizeof(*m), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(m->head) || m->head.nlmsg_len > (size_t)n)
		return -EBADMSG;
	if (m->head.nlmsg_type == NLMSG_ERROR) {
		int code;
		if (m->head.nlmsg_len < sizeof(m->head) + sizeof(code))
			return -EBADMSG;
		memcpy(&code, NLMSG_DATA(&m->head), sizeof(code));
		return code ? code : -EBADMSG;
	}
	return m->head.nlmsg_len >= NLMSG_LENGTH(GENL_HDRLEN) ? 0 : -EBADMSG;
}

/* A socket, and the family's number. -ENOENT: the kernel is too old. */
static int open_family(uint16_t *family)
{
	struct message m;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0)
		return -errno;
	begin(&m, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	put(&m, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY, sizeof(NETDEV_FAMILY));
	int ret = ask(fd, &m);
	const void *id = ret == 0 ? find(&m, CTRL_ATTR_FAMILY_ID, sizeof(*family)) : NULL;
	if (!id) {
		close(fd);
		return ret < 0 ? ret : -EBADMSG;
	}
	memcpy(family, id, sizeof(*family));
	return fd;
}

static uint64_t number64(const struct message *m, uint16_t type)
{
	const void *value = find(m, type, sizeof(uint64_t));
	uint64_t number = 0;

	if (value)
		memcpy(&number, value, sizeof(number));
	return number;
}

void xdp_netdev_features(struct xdp_interface *i)
{
	struct message m;
	uint32_t index = i->index, segments = 0;
	uint16_t family;
	int fd = open_family(&family);

	if (fd < 0)
		return;
	begin(&m, family, NETDEV_GET_DEVICE);
	put(&m, NETDEV_DEVICE_IFINDEX, &index, sizeof(index));
	int ret = ask(fd, &m);
	close(fd);
	if (ret < 0)
		return;
	uint64_t features = number64(&m, NETDEV_DEVICE_XDP_FEATURES);
	const void *value = find(&m, NETDEV_DEVICE_ZERO_COPY_SEGMENTS, sizeof(segments));
	if (value)
		memcpy(&segments, value, sizeof(segments));
	i->features_known = true;
	i->native = features & NETDEV_FEATURE_BASIC;
	i->redirect = features & NETDEV_FEATURE_REDIRECT;
	i->zero_copy = features & NETDEV_FEATURE_ZERO_COPY;
	i->receive_fragments = features & NETDEV_FEATURE_RECEIVE_FRAGMENTS;
	i->zero_copy_segments = segments;
	i->device_checksum = number64(&m, NETDEV_DEVICE_XSK_FEATURES) & NETDEV_XSK_TRANSMIT_CHECKSUM;
}

int xdp_netdev_queue_taken(unsigned index, uint32_t queue)
{
	uint32_t device = index, type = NETDEV_QUEUE_TYPE_RECEIVE;
	struct message m;
	uint16_t family;
	int fd = open_family(&family);

	if (fd < 0)
		return fd == -ENOENT ? -EOPNOTSUPP : fd;
	begin(&m, family, NETDEV_GET_QUEUE);
	put(&m, NETDEV_QUEUE_IFINDEX, &device, sizeof(device));
	put(&m, NETDEV_QUEUE_TYPE, &type, sizeof(type));
	put(&m, NETDEV_QUEUE_ID, &queue, sizeof(queue));
	int ret = ask(fd, &m);
	close(fd);
	if (ret < 0)
		return ret;
	return find(&m, NETDEV_QUEUE_SOCKET, 0) != NULL;
}
