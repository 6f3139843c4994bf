/*
 * Checks of the test programs, in C and in C++. A failed check prints its place, and ends the program with 1.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static inline void check_failed(const char *file, int line, const char *what, long long value)
{
	fprintf(stderr, "%s:%d: %s (%lld, errno %d)\n", file, line, what, value, errno);
	exit(1);
}

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, 0))

/* The value of `expression` is `expected`. */
#define CHECK_IS(expected, expression)                                                                                 \
	do {                                                                                                           \
		long long check_value = (long long)(expression);                                                       \
		if (check_value != (long long)(expected))                                                              \
			check_failed(__FILE__, __LINE__, #expression " is " #expected, check_value);                   \
	} while (0)

/* `expression` returns NULL or 0, with this errno. */
#define CHECK_FAILS(error, expression)                                                                                 \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		CHECK(!(expression));                                                                                  \
		CHECK_IS(error, errno);                                                                                \
	} while (0)

/* How much of its work the program does, in percent: its first argument. */
static inline int part(int argc, char **argv, int whole)
{
	int percent = argc > 1 ? atoi(argv[1]) : 100;
	int share = (int)((long long)whole * percent / 100);

	return share > 0 ? share : 1;
}

#endif /* CHECK_H */
