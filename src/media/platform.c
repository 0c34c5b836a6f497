/* SPDX-License-Identifier: BSD-2-Clause */
#include "media/platform.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The device's folder in sysfs, with links resolved. False: it is not there. */
static bool device_folder(const char *sys, const char *type, dev_t device, char folder[PATH_MAX])
{
	char link[PATH_MAX];

	if (snprintf(link, sizeof(link), "%s/dev/%s/%u:%u", sys, type, major(device), minor(device)) >=
	    (int)sizeof(link))
		return false;
	return realpath(link, folder) != NULL;
}

FILE *platform_attribute_open(const char *folder, const char *attribute)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, attribute) >= (int)sizeof(path))
		return NULL;
	return fopen(path, "re");
}

/* The first line of folder/attribute. */
static bool read_attribute(const char *folder, const char *attribute, char *text, size_t size)
{
	FILE *f = platform_attribute_open(folder, attribute);

	if (!f)
		return false;
	bool got = fgets(text, (int)size, f) != NULL;
	fclose(f);
	if (got)
		text[strcspn(text, "\n")] = 0;
	return got;
}

bool platform_is_dax_device(const char *sys, dev_t device)
{
	char folder[PATH_MAX], link[PATH_MAX], subsystem[PATH_MAX];

	if (!device_folder(sys, "char", device, folder))
		return false;
	if (snprintf(link, sizeof(link), "%s/subsystem", folder) >= (int)sizeof(link))
		return false;
	if (!realpath(link, subsystem))
		return false;
	const char *name = strrchr(subsystem, '/');
	return name && strcmp(name, "/dax") == 0;
}

uint64_t platform_dax_number(const char *sys, dev_t device, const char *attribute)
{
	char folder[PATH_MAX], text[64];

	if (!device_folder(sys, "char", device, folder) ||
	    !read_attribute(folder, attribute, text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 0);
}

bool platform_caches_persist(const char *sys, bool block, dev_t device)
{
	char root[PATH_MAX], folder[PATH_MAX], text[64];

	if (!realpath(sys, root) || !device_folder(sys, block ? "block" : "char", device, folder))
		return false;
	/* The region is one of the folders that the device's folder lies in. */
	for (size_t floor = strlen(root); strlen(folder) > floor; *strrchr(folder, '/') = 0) {
		if (read_attribute(folder, "persistence_domain", text, sizeof(text)))
			return strcmp(text, "cpu_cache") == 0;
	}
	return false;
}
