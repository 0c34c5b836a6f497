/* SPDX-License-Identifier: BSD-2-Clause */
#include "paste/error.h"

#include <stdarg.h>
#include <stdio.h>

int paste_fail(struct paste_error *err, int code, const char *format, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, format);
	vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	return code;
}
