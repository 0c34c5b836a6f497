# SPDX-License-Identifier: BSD-2-Clause
"""embed.py FILE NAME: print a C header with the bytes of FILE as NAME, aligned as an ELF file wants to be."""
import sys

with open(sys.argv[1], "rb") as f:
    data = f.read()
print("/* made by embed.py */")
print(f"static const unsigned char {sys.argv[2]}[{len(data)}] __attribute__((aligned(8))) = {{")
for at in range(0, len(data), 24):
    print("\t" + ",".join(str(b) for b in data[at:at + 24]) + ",")
print("};")
