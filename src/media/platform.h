/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * platform.h - what sysfs says about the device under a path. `sys` is sysfs's mount point, "/sys" but in
 * tests.
 */
#ifndef MEDIA_PLATFORM_H
#define MEDIA_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* folder/attribute, to be read; NULL: it is not there, or may not be read. */
FILE *platform_attribute_open(const char *folder, const char *attribute);

/* Is this character device a device-DAX one? */
bool platform_is_dax_device(const char *sys, dev_t device);

/* A number that the device's sysfs folder holds ("size", "align", in bytes); 0 if it is not there. */
uint64_t platform_dax_number(const char *sys, dev_t device, const char *attribute);

/*
 * Does the CPU's cache survive a power cut there (eADR)? The nd region above the device says so in
 * `persistence_domain`. False when nobody says anything: writing back without need is slow, not wrong.
 */
bool platform_caches_persist(const char *sys, bool block, dev_t device);

#endif
