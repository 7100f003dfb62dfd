/* Unsafe libc calls become compile errors. Included in every C file by the build (-include).
 * rand and srand cannot be poisoned, since OpenSSL's headers name parameters so; the linter greps
 * for them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca /* glibc: a macro */

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets alloca strncpy strncat
